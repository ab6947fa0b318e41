"""What could flatter the figures: codes and mentions left, and features that find a cohort by themselves."""

import csv
import gzip
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest
from cohorts.encoders.features.codes import tokens_of
from cohorts.harness.evaluate.data import words as word_counts
from cohorts.harness.evaluate.retrieval import leaks, proxies
from cohorts.harness.evaluate.retrieval.population import (
    read_patients,
)
from cohorts.harness.evaluate.retrieval.scorers import (
    Seen,
)
from cohorts.records.base import Source
from cohorts.records.codes import phenotypes as phenotyping
from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.records.codes.prefixes import FIELDS
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.tables import partition
from cohorts.records.withheld import Withheld, WithheldSource
from command_line import run


def test_a_planted_leak_is_found(source: Source) -> None:
    names = ["sepsis", "heart_failure"]
    withheld = WithheldSource(source, Withheld(("sepsis",), text=True))
    found, late = leaks.find_leaks("seen", names, source.batches(), withheld.batches())
    sepsis, heart = found
    assert (sepsis["codes_left"], sepsis["mentions_left"]) == (0, 0)
    assert sepsis["codes_taken"] > 0
    assert sepsis["mentions_taken"] > 0
    assert heart["codes_left"] > 0
    assert (heart["codes_taken"], heart["mentions_taken"]) == (0, 0)
    assert late["notes"] > 0
    (told,) = leaks.verdict(found, 0)
    assert "codes that state heart_failure stand in what encoders see" in told
    assert leaks.verdict([sepsis], 0) == []
    assert "2 patients are asked about and learnt from" in leaks.verdict([sepsis], 2)[0]


def test_what_withholding_forgets_the_report_counts(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Septic shock states sepsis, whatever the lists of phenotypes say."""
    whole = list(source.batches())
    codes, unit = whole[0].codes, whole[0].units["unit_id"].iloc[0]
    shock = pd.DataFrame({"unit_id": [unit], "kind": "diagnosis", "system": "ICD-9", "code": "78552"})
    whole[0] = replace(whole[0], codes=pd.concat([codes, shock], ignore_index=True))
    shocks = sum((batch.codes["code"] == "78552").sum() for batch in whole)
    withheld = Withheld(("sepsis",))
    ((all_taken,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(withheld.apply, whole))
    assert all_taken["codes_left"] == 0
    before = Withheld(("sepsis",), implied=False)
    ((shock_left,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(before.apply, whole))
    assert (shock_left["codes_left"], shock_left["codes_taken"]) == (
        shocks,
        all_taken["codes_taken"] - shocks,
    )
    assert f"{shocks} codes that state sepsis" in leaks.verdict([shock_left], 0)[0]
    monkeypatch.setattr(phenotyping, "_stating", lambda *_: ())
    ((all_left,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(withheld.apply, whole))
    assert (all_left["codes_left"], all_left["codes_taken"]) == (all_taken["codes_taken"], 0)


def test_the_reports_codes_and_those_withheld_cover_the_same() -> None:
    """They are two lists, and a code that stands in one alone is a mistake in the other."""
    assert set(leaks.leak_codes()) == {one.name for one in load_phenotypes()}
    for one in load_phenotypes():
        for system, field in FIELDS.items():
            listed = sorted(leaks.leak_codes()[one.name][system])
            assert listed == sorted({*getattr(one, field), *getattr(one, f"implies_{field}")})


# Of the CCS groups of a cohort that hold little else, the codes that state it neither by name nor by rule.
SAY_LESS = {
    "acute_kidney_injury": {"586"},
    "acute_myocardial_infarction": set(),
    "asthma": set(),
    "copd": {"490", "494", "4940", "4941"},  # bronchitis that is not said to be chronic, bronchiectasis
    "gi_haemorrhage": set(),
    "heart_failure": set(),
    "hip_fracture": set(),
    "pneumonia": {"0212", "0221", "0310", "0391", "0830", "1124", "1140", "1144", "1145", "5130"},
    "sepsis": {"449", "7907"},  # septic embolism, bacteraemia
    "stroke": {"4320", "4321", "4329", "4340", "43400", "4341", "43410", "4349", "43490"},
}


def test_codes_of_a_cohorts_ccs_groups_state_it_or_are_known_to_say_less(shared_data: Path) -> None:
    groups = {one.name: set(one.ccs) for one in load_phenotypes()}
    unstated: dict[str, set[str]] = {name: set() for name in SAY_LESS}
    with gzip.open(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            for name, found in unstated.items():
                stated = row["icd9_code"].startswith(leaks.leak_codes()[name]["ICD-9"])
                if row["ccs_category"] in groups[name] and not stated:
                    found.add(row["icd9_code"])
    assert unstated == SAY_LESS


def test_every_listed_code_exists(shared_data: Path) -> None:
    """In ICD-9-CM; of ICD-10-CM the equivalence mappings have a part only."""
    with gzip.open(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", "rt") as stream:
        known = [row["icd9_code"] for row in csv.DictReader(stream)]
    for name, lists in leaks.leak_codes().items():
        for prefix in lists["ICD-9"]:
            assert any(code.startswith(prefix) for code in known), (name, prefix)


def planted_hospital(tables: Path, folder: Path) -> tuple[Path, list[str], list[str]]:
    """Copy a hospital and plant what finds asthma; return folder, members and others.

    Drug planted: 10 members and nobody else's but one (.909). Drug toofew: 9 and one (.9). Drug missed: 8 and one
    (.889). Word rareword: 4 members; word commonword: all of them.
    """
    shutil.copytree(tables, folder)
    codes = pd.read_csv(folder / "DIAGNOSES_ICD.csv", dtype=str)
    asthma = codes["SUBJECT_ID"][codes["ICD9_CODE"].str.startswith("493")].unique().tolist()
    others = sorted({*codes["SUBJECT_ID"]} - {*asthma})
    stays = codes.drop_duplicates("SUBJECT_ID").set_index("SUBJECT_ID")["HADM_ID"]
    drugs = pd.read_csv(folder / "PRESCRIPTIONS.csv", dtype=str)
    notes = pd.read_csv(folder / "NOTEEVENTS.csv", dtype=str)
    plan = {
        "planted": [*asthma[:10], others[0]],
        "toofew": [*asthma[:9], others[1]],
        "missed": [*asthma[:8], others[2]],
    }
    for drug, patients in plan.items():
        more = [
            drugs.iloc[0].to_dict() | {"SUBJECT_ID": one, "HADM_ID": stays[one], "DRUG": drug}
            for one in patients
        ]
        drugs = pd.concat([drugs, pd.DataFrame(more)])
    for word, patients in {"rareword": asthma[:4], "commonword": asthma}.items():
        more = [
            notes.iloc[0].to_dict() | {"SUBJECT_ID": one, "HADM_ID": stays[one], "TEXT": word}
            for one in patients
        ]
        notes = pd.concat([notes, pd.DataFrame(more)])
    drugs.to_csv(folder / "PRESCRIPTIONS.csv", index=False)
    notes.to_csv(folder / "NOTEEVENTS.csv", index=False)
    return folder, asthma, others


def test_planted_proxies_are_named_with_their_figures(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asthma, others = planted_hospital(tables, tmp_path / "hospital")
    assert len(asthma) >= 11
    monkeypatch.chdir(tmp_path)
    read = (
        f"evaluate retrieval --source mimic3 --path {folder} --cohort asthma --k 5 --queries 5 --out report"
    )
    code, _, told = run(read)
    assert code == 0, told
    with Path("report/proxies.csv").open(newline="") as stream:
        rows = {row["feature"]: row for row in csv.DictReader(stream)}
    assert {row["cohort"] for row in rows.values()} == {"asthma"}
    base = len(asthma) / len([*asthma, *others])
    assert [float(row["base_rate"]) for row in rows.values()] == pytest.approx([base] * len(rows))
    planted, common, few = rows["drug:planted"], rows["word:commonword"], rows["drug:toofew"]
    assert planted["units"] == "11"
    assert float(planted["precision"]) == pytest.approx(10 / 11)
    assert float(planted["recall"]) == pytest.approx(10 / len(asthma))
    assert [common[name] for name in ("units", "precision", "recall")] == [str(len(asthma)), "1.0", "1.0"]
    assert [few[name] for name in ("units", "precision", "recall")] == ["5 to 10", "", ""]
    assert "drug:missed" not in rows
    assert (
        f"{len(rows)} features find asthma by themselves (codes withheld; precision ≥ 0.9, recall ≥ 0.1): "
        in (told)
    )
    assert "(recall 1.00)" in told
    page = Path("report/report.html").read_text()
    assert "drug:planted" in page
    written = [file for file in Path("report").rglob("*") if file.is_file()]
    assert len(written) > 8
    assert not any(b"rareword" in file.read_bytes() for file in written)
    assert "rareword" not in told


PROXY = """
[[treatment]]
name = "a drug for sepsis alone"
condition = "sepsis"
drug = "Testimab"
given = 0.4
group = {}
death_in_group = 0.0
"""


def test_proxies_are_those_of_a_naive_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every feature of every unit, over several batches, with hashes that fall on one another.

    No drug of the hospital finds sepsis: one is planted.
    """
    (tmp_path / "plants.toml").write_text(PROXY)
    synthesize(tmp_path / "tables", 250, 3, tmp_path / "plants.toml")
    with open_source(
        "mimic3", tmp_path / "tables", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv"
    ) as source:
        _check_proxies(source, monkeypatch)


def _check_proxies(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (proxies, word_counts):
        monkeypatch.setattr(module, "hash_of", lambda word: crc32(word.encode()) % 64)
    monkeypatch.setattr(partition, "PART_BYTES", 500_000)
    assert len(list(source.batches())) > 2
    population = read_patients(source, ["sepsis", "asthma"])
    seen = WithheldSource(source, Withheld(("sepsis", "asthma"), text=True))
    having: dict[str, set[str]] = defaultdict(set)
    for batch in seen.batches():
        for unit, token in zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True):
            having[str(token)].add(unit)
        for unit, text in zip(batch.notes["unit_id"], batch.notes["text"], strict=True):
            for word in words(clean(text)):
                having[f"word:{word}"].add(unit)
    expected = set()
    for column, name in enumerate(population.cohorts):
        theirs = {unit for unit, own in zip(population.ids, population.member[:, column], strict=True) if own}
        for feature, units in having.items():
            precision, recall = len(units & theirs) / len(units), len(units & theirs) / len(theirs)
            if len(units) >= 5 and precision >= 0.9 and recall >= 0.1:
                expected.add((name, feature, len(units), precision, recall))
    read = Seen.read(seen)
    assert len(read.words.hashes) == 64
    found = proxies.find_proxies("seen", population, seen, read)
    columns = ("cohort", "feature", "units", "precision", "recall")
    assert {tuple(one[name] for name in columns) for one in found} == expected
    assert {name for name, *_ in expected} == {"sepsis", "asthma"}
    assert {feature.partition(":")[0] for _, feature, *_ in expected} >= {"drug", "word"}
    assert [
        feature for name, feature, *_ in expected if name == "sepsis" and feature.startswith("drug:")
    ] == ["drug:testimab"]
    recalls = [one["recall"] for one in found if one["cohort"] == "sepsis"]
    assert recalls == sorted(recalls, reverse=True)
