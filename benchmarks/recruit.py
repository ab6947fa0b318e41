"""Recruitment on planted profiles: criteria and text together, the filter that a profile allows, and its text alone.

Run by `make bench-ours`. Synthetic hospitals (invented patients, no clinical meaning) with six groups of patients
planted in each: conditions, common drugs, moved laboratory values and words in notes, of which others have some and
none is a code of its own. A profile states of a group what a trial would; it was written before anything was measured,
and is asked in three ways:

- `recruit`: all criteria, ordered by the text;
- `filter`: the conditions as `--where` can ask for them, in no order: its figures are those expected of a random one;
- `text`: the profile's text alone, by the collection's encoder.

Two texts are tried: one that quotes words of the planted notes, which nobody else's have, as no protocol would; and one
in a protocol's words.

P@10 is the share of planted patients among the first 10, R@R the share of the R planted that are among the first R.
Intervals are bootstraps over hospitals and profiles.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cohorts
import numpy as np
from cohorts.measures import intervals

SEEDS, PATIENTS, TOP = range(4), 2_000, 10
WAYS = ("filter", "recruit, quoting", "text, quoting", "recruit, plain", "text, plain")
COMPARED = ((1, 0), (1, 2), (3, 0), (3, 4))
PLANTS = """
[[rare]]
name = "gout of the kidneys"
patients = 25
conditions = ["gout", "chronic_kidney_disease"]
drugs = ["Allopurinol"]
labs = { "Creatinine" = 1.5 }
words = ["tophi at both elbows"]

[[rare]]
name = "liver without platelets"
patients = 25
conditions = ["cirrhosis"]
drugs = ["Nadolol"]
labs = { "Platelet Count" = 0.4 }
words = ["spider angiomas over the chest"]

[[rare]]
name = "bleeding on warfarin"
patients = 25
conditions = ["gi_haemorrhage", "anticoagulated"]
drugs = ["Warfarin"]
labs = { "Hemoglobin" = 0.7 }
words = ["maroon stool overnight"]

[[rare]]
name = "cold sepsis"
patients = 25
conditions = ["sepsis"]
drugs = ["Meropenem"]
labs = { "Lactate" = 2.0 }
words = ["mottled to the knees"]

[[subtypes]]
name = "two heart failures"
condition = "heart_failure"
[[subtypes.types]]
name = "cardiorenal"
share = 0.1
drugs = { "Torsemide" = 0.95, "Spironolactone" = 0.8 }
labs = { "Sodium" = 0.93 }
words = ["cardiorenal team follows"]
[[subtypes.types]]
name = "other"
share = 0.9

[[subtypes]]
name = "two lungs"
condition = "copd"
[[subtypes.types]]
name = "responder"
share = 0.2
drugs = { "PredniSONE" = 0.95, "Azithromycin" = 0.8 }
labs = { "Glucose" = 1.4 }
words = ["bronchodilator responder"]
[[subtypes.types]]
name = "other"
share = 0.8
"""


class Asked(NamedTuple):
    """A group's profile, and the filter that says as much of it as a filter can."""

    group: str
    where: str
    quoting: str
    plain: str
    criteria: str


ASKED = (
    Asked(
        "gout of the kidneys",
        "codes contains '274' and codes contains '585'",
        "gout and chronic kidney disease, tophi at both elbows",
        "gout and chronic kidney disease, on allopurinol",
        """include = [{ code = "274" }, { code = "585" }, { drug = "allopurinol" },
            { laboratory = "creatinine", above = 2, unit = "mg/dL" }]""",
    ),
    Asked(
        "liver without platelets",
        "codes contains '571'",
        "cirrhosis with low platelets, spider angiomas over the chest",
        "cirrhosis with low platelets, on nadolol",
        """include = [{ code = "571" }, { drug = "nadolol" }, { laboratory = "platelet count", below = 100 }]""",
    ),
    Asked(
        "bleeding on warfarin",
        "codes contains '578' or codes contains '531' or codes contains '532' or codes contains '569'",
        "gastrointestinal bleeding on warfarin, maroon stool",
        "gastrointestinal bleeding with anemia, on warfarin",
        """include = [{ phenotype = "gi_haemorrhage" }, { drug = "warfarin" },
            { laboratory = "hemoglobin", below = 8 }]""",
    ),
    Asked(
        "cold sepsis",
        "codes contains '038' or codes contains '99591' or codes contains '99592'",
        "septic shock, mottled to the knees, high lactate",
        "septic shock with high lactate, on meropenem",
        """include = [{ phenotype = "sepsis" }, { drug = "meropenem" }, { laboratory = "lactate", above = 4 }]""",
    ),
    Asked(
        "two heart failures/cardiorenal",
        "codes contains '428'",
        "heart failure followed by the cardiorenal team, low sodium",
        "heart failure with low sodium, on torsemide",
        """include = [{ phenotype = "heart_failure" }, { drug = "torsemide" },
            { laboratory = "sodium", below = 133 }]""",
    ),
    Asked(
        "two lungs/responder",
        "codes contains '491' or codes contains '492' or codes contains '496'",
        "obstructive lung disease, bronchodilator responder, steroids",
        "obstructive lung disease on prednisone and azithromycin",
        """include = [{ phenotype = "copd" }, { drug = "prednisone" }, { drug = "azithromycin" },
            { laboratory = "glucose", above = 180 }]""",
    ),
)


def planted(hospital: Path) -> dict[str, frozenset[str]]:
    """Return the patients of every group."""
    told = json.loads((hospital / "PLANTED.json").read_text())
    groups = {one["name"]: one["patients"] for one in told["rare"]}
    for one in told["subtypes"]:
        for kind in one["counts"]:
            groups[f"{one['name']}/{kind}"] = one["found"].get(f"{kind}_patients", ())
    return {name: frozenset(map(str, patients)) for name, patients in groups.items()}


def of_ranking(ranked: list[str], truth: frozenset[str]) -> tuple[float, float]:
    """Return P@10 and R@R of a ranked list; who is not on it counts as missed."""
    return (
        sum(one in truth for one in ranked[:TOP]) / TOP,
        sum(one in truth for one in ranked[: len(truth)]) / len(truth),
    )


def of_set(found: frozenset[str], truth: frozenset[str]) -> tuple[float, float]:
    """Return what P@10 and R@R of a set are in the mean of all orders."""
    right = len(found & truth) / len(found) if found else 0.0
    return right * min(TOP, len(found)) / TOP, right * min(len(truth), len(found)) / len(truth)


def measure(folder: Path, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return P@10 and R@R of every profile and way in one hospital, (profiles, ways, 2)."""
    plants = folder / "plants.toml"
    plants.write_text(PLANTS)
    hospital = cohorts.synthesize(folder / "hospital", PATIENTS, seed, plant=plants)
    truth = planted(hospital)
    with (
        cohorts.connect("memory:", runs=folder / "runs") as store,
        cohorts.open_source("mimic3", hospital) as source,
    ):
        icu = cohorts.ingest(source, "lsa", store, "icu")
        rows = []
        for number, asked in enumerate(ASKED):
            named = icu.make_cohort(f"filter{number}", where=asked.where).patients
            group = truth[asked.group]
            figures = [of_set(frozenset(named), group)]
            for text in (asked.quoting, asked.plain):
                file = folder / "profile.toml"
                file.write_text(f'text = "{text}"\n{asked.criteria}')
                figures.append(of_ranking(list(icu.recruit(file, PATIENTS).patients), group))
                figures.append(of_ranking([hit.id for hit in icu.like_text(text, PATIENTS)], group))
            rows.append(figures)
            told = (f"{p:.2f}/{r:.2f}" for p, r in figures)
            print(f"seed {seed}  {asked.group:32s} R={len(group):3d} ", *told)
    return np.array(rows)


def shown(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """Return the mean of (hospitals, profiles) with an interval over both."""
    told = intervals.of_statistic(values, np.mean)
    return f"{told.value:.2f} [{told.low:.2f}, {told.high:.2f}]"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        every = []
        for seed in SEEDS:
            place = Path(folder) / str(seed)
            place.mkdir()
            every.append(measure(place, seed))
    figures = np.stack(every)  # (hospitals, profiles, ways, 2)
    print(f"\n{len(SEEDS)} synthetic hospitals of {PATIENTS:,} invented patients, {len(ASKED)} profiles each")
    for at, name in enumerate((f"P@{TOP}", "R@R")):
        for way, label in enumerate(WAYS):
            print(f"{name:5s} {label:17s} {shown(figures[:, :, way, at])}")
        for first, second in COMPARED:
            apart = figures[:, :, first, at] - figures[:, :, second, at]
            print(f"{name:5s} {WAYS[first]} less {WAYS[second]}: {shown(apart)}")


if __name__ == "__main__":
    sys.exit(main())
