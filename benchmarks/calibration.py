"""Shares of drugs, procedures and abnormal values by condition, in two open demos and in a synthetic hospital.

    python benchmarks/calibration.py [--data ../shared/data] [--patients 3000 --seed 7 | --hospital FOLDER]

Prints Markdown tables; exits 1 where one of the 20 commonest pairs of a kind is further than .1 from mimic3-demo, or
one of the 20 commonest of mimic4-demo on which both demos agree within .1. Cells of fewer than 11 patients are hidden.
MIMIC-IV's demo counts by its stays with intensive care, which all of MIMIC-III has; of it only drugs are compared: half
of its procedures are ICD-10, and its copy here has no laboratory values.

Words are compared with open reports of mtsamples that name a condition, and with no bar: those are of all specialties.

Sources: MIMIC-III Clinical Database Demo 1.4 and MIMIC-IV Clinical Database Demo 2.2, PhysioNet, ODbL 1.0;
mtsamples.com, public sample reports.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from cohorts.records.codes.grouping import drug_name
from cohorts.records.codes.phenotypes import load_phenotypes, phenotype_of
from cohorts.records.synthetic.hospital import synthesize

FEWEST = 11  # patients of a cell that is shown
COMMONEST = 20
WITHIN = 0.1
KINDS = ("drug", "procedure", "abnormal value")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WORDS = {
    "dyspnea": r"shortness of breath|dyspn|\bsob\b|\bdoe\b|work of breathing",
    "swelling": "edema|swelling|swollen",
    "chest pain": r"chest p|chest t|\bcp\b",
    "fever": r"\bfever|febrile|rigor|temp spike",
    "cough": r"\bcough|sputum",
    "wheezing": "wheez",
    "weakness": "weak",
    "abdominal pain": r"abdominal pain|abd pain|\bruq pain|epigastric",
    "vomiting": r"vomit|nausea|\bn/v\b",
}
CONTAINERS = ("bag", "vial", "soln", "syringe")  # that orders name beside drugs


@dataclass(frozen=True)
class Hospital:
    """The stays of a hospital: `patient` by stay, and for each kind who has what, one row for each pair."""

    patient: pd.Series
    conditions: pd.DataFrame  # stay, name
    things: dict[str, pd.DataFrame]  # the same, by kind

    def flags(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return (stays, names): which stays have which."""
        known = rows[rows["stay"].isin(self.patient.index)].drop_duplicates()
        return (
            pd.crosstab(known["stay"], known["name"]).reindex(self.patient.index, fill_value=0).astype(bool)
        )


def mimic3(folder: Path) -> Hospital:
    """Read a folder of MIMIC-III's shape."""
    stays = _table(folder, "ADMISSIONS").set_index("hadm_id")["subject_id"]
    diagnoses, labs = _table(folder, "DIAGNOSES_ICD"), _table(folder, "LABEVENTS")
    labs = labs[labs["flag"] == "abnormal"]
    names = _table(folder, "D_LABITEMS").set_index("itemid")["label"]
    procedures = _table(folder, "PROCEDURES_ICD")
    return Hospital(
        stays,
        _conditions(diagnoses["hadm_id"], [("ICD-9", code) for code in diagnoses["icd9_code"]]),
        {
            "drug": _drugs(_table(folder, "PRESCRIPTIONS")),
            "procedure": _pairs(procedures["hadm_id"], procedures["icd9_code"]),
            "abnormal value": _pairs(labs["hadm_id"], labs["itemid"].map(names)),
        },
    )


def mimic4(folder: Path) -> Hospital:
    """Read MIMIC-IV's demo: its stays with intensive care, and their drugs."""
    diagnoses = _table(folder / "hosp", "diagnoses_icd")
    coded = [
        (f"ICD-{version}", code.strip())
        for version, code in zip(diagnoses["icd_version"], diagnoses["icd_code"], strict=True)
    ]
    stays = _table(folder / "hosp", "admissions").set_index("hadm_id")["subject_id"]
    stays = stays[stays.index.isin(_table(folder / "icu", "icustays")["hadm_id"])]
    drugs = _drugs(_table(folder / "hosp", "prescriptions"))
    return Hospital(stays, _conditions(diagnoses["hadm_id"], coded), {"drug": drugs})


def shares(hospital: Hospital, kind: str) -> pd.DataFrame:
    """Return every pair of a condition and a thing, by `condition` and `name`, the commonest first.

    Columns: `given`, the share of the condition's stays that have the thing; `otherwise`, that of all other stays;
    `telling`, the share of the thing's stays that have the condition; `stays` with both, their `patients`, and `n`, the
    condition's stays.
    """
    conditions, things = hospital.flags(hospital.conditions), hospital.flags(hospital.things[kind])
    found = []
    for condition in conditions:
        has = conditions[condition]
        both, have = things[has].sum(), int(has.sum())
        patients = things[has].groupby(hospital.patient[has]).any().sum()
        found.append(
            pd.DataFrame(
                {
                    "condition": condition,
                    "given": both / have,
                    "otherwise": things[~has].mean(),
                    "telling": both / things.sum(),
                    "stays": both,
                    "patients": patients,
                    "n": have,
                }
            )
        )
    rows = pd.concat(found).rename_axis("name").reset_index().set_index(["condition", "name"])
    return rows.sort_values(["stays", "given"], ascending=False, kind="stable")


def compared(real: pd.DataFrame, ours: pd.DataFrame, most: int = COMMONEST) -> pd.DataFrame:
    """Return the commonest pairs that may be shown, with the synthetic shares beside them and the difference."""
    shown = real[real["patients"] >= FEWEST].head(most)
    beside = ours.reindex(shown.index)
    absent = beside["n"].isna()
    beside.loc[absent, ["given", "otherwise", "telling"]] = 0.0
    both = shown.join(beside.add_suffix("_synthetic"))
    both["difference"] = both["given_synthetic"] - both["given"]
    return both


def agreed(fourth: pd.DataFrame, third: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of one demo on which another agrees; two real hospitals differ on most."""
    gap = (fourth["given"] - third["given"].reindex(fourth.index)).abs()
    return fourth[gap <= WITHIN]


def printed(title: str, rows: pd.DataFrame) -> None:
    near = int((rows["difference"].abs() <= WITHIN).sum())
    print(f"\n### {title}: {near} of {len(rows)} within {WITHIN}\n")
    print(
        "| condition | item | demo (n) | synthetic (n) | difference | demo, others | synthetic, others "
        "| condition among the item's, demo | synthetic |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (condition, name), row in rows.iterrows():
        print(
            f"| {condition} | {name} | {row['given']:.2f} ({row['n']:.0f}) | {row['given_synthetic']:.2f} "
            f"({row['n_synthetic']:.0f}) | {row['difference']:+.2f} | {row['otherwise']:.2f} "
            f"| {row['otherwise_synthetic']:.2f} | {row['telling']:.2f} | {row['telling_synthetic']:.2f} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="Folder of mimic3-demo, mimic4-demo, mtsamples."
    )
    parser.add_argument("--hospital", type=Path, help="A synthetic hospital that is there.")
    parser.add_argument("--patients", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.hospital or Path(folder) / "hospital"
        if chosen.hospital is None:
            synthesize(place, chosen.patients, chosen.seed)
        ours, spoken = mimic3(place), said(place)
    demo, fourth = mimic3(chosen.data / "mimic3-demo"), mimic4(chosen.data / "mimic4-demo")
    print(
        "The hospital is synthetic: invented patients, no clinical meaning. Shares are of stays; n are stays."
    )
    tables = {f"mimic3-demo, {kind}": compared(shares(demo, kind), shares(ours, kind)) for kind in KINDS}
    third, synthetic, later = (shares(one, "drug") for one in (demo, ours, fourth))
    agreeing = "mimic4-demo, drug, where mimic3-demo agrees"
    tables[agreeing] = compared(agreed(later, third), synthetic)
    for title, rows in tables.items():
        printed(title, rows)
    printed("mimic4-demo, drug, all (its formulary is another)", compared(later, synthetic))
    print_words(reported(chosen.data / "mtsamples"), spoken)
    return int(any((rows["difference"].abs() > WITHIN).any() for rows in tables.values()))


def reported(folder: Path) -> pd.DataFrame:
    """Return the open reports: `text`, and a column for each condition that tells whether they name it."""
    reports = pd.read_csv(folder / "mtsamples.csv.gz", dtype=str, usecols=["text"]).dropna()
    for one in load_phenotypes():
        named = "|".join(rf"\b{re.escape(term)}\b" for term in one.terms)
        reports[one.name] = reports["text"].str.contains(named, case=False)
    return reports


def said(folder: Path) -> pd.DataFrame:
    """Return discharge summaries in the same form; their conditions are those of their stay's codes."""
    notes = _table(folder, "NOTEEVENTS")
    notes = notes[notes["category"] == "Discharge summary"].set_index("hadm_id")[["text"]]
    hospital = mimic3(folder)
    return notes.join(hospital.flags(hospital.conditions))


def print_words(real: pd.DataFrame, ours: pd.DataFrame) -> None:
    print(
        "\n### Words: share of reports (mtsamples, those that name the condition) and of synthetic summaries\n"
    )
    print("| condition | reports, summaries | " + " | ".join(WORDS) + " |\n|---|---|" + "---|" * len(WORDS))
    for one in sorted(set(real) & set(ours) - {"text"}):
        has, have = real[real[one]]["text"], ours[ours[one]]["text"]
        cells = []
        for pattern in WORDS.values():
            there, here = (texts.str.contains(pattern, case=False) for texts in (has, have))
            cells.append(f"{there.mean():.2f}, {here.mean():.2f}" if there.sum() >= FEWEST else "few")
        if set(cells) != {"few"}:
            print(f"| {one} | {len(has)}, {len(have)} | " + " | ".join(cells) + " |")


def _table(folder: Path, name: str) -> pd.DataFrame:
    file = next(file for file in (folder / f"{name}.csv", folder / f"{name}.csv.gz") if file.exists())
    return pd.read_csv(file, dtype=str, keep_default_na=False).rename(columns=str.lower)


def _pairs(stays: pd.Series, names: pd.Series) -> pd.DataFrame:
    rows = pd.DataFrame({"stay": stays, "name": names}).dropna()
    return rows[(rows["stay"] != "") & (rows["name"] != "")]


def _conditions(stays: pd.Series, coded: Iterable[tuple[str, str]]) -> pd.DataFrame:
    return _pairs(stays, pd.Series([phenotype_of(*code) for code in coded], index=stays.index, dtype=object))


def _drugs(orders: pd.DataFrame) -> pd.DataFrame:
    names = orders["drug"].map(lambda name: drug_name(name) if name else None)
    return _pairs(orders["hadm_id"], names[~names.isin(CONTAINERS)])


if __name__ == "__main__":
    sys.exit(main())
