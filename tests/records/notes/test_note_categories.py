"""Categories of notes: counted by hand, told without a patient's own text, and shown where a source is read."""

import json
from pathlib import Path

import pandas as pd
import pytest
from cohorts.harness.evaluate.note_categories import category_tables
from cohorts.records.base import Report, Unit
from cohorts.records.notes import categories
from cohorts.records.notes.categories import NONE, OTHERS, Category, NoteCategories
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from command_line import run


def counted(*rows: tuple[str, str | None, str | None]) -> NoteCategories:
    """Count notes of (patient, admission, category), a patient at a time."""
    made = NoteCategories()
    frame = pd.DataFrame(rows, columns=["patient_id", "admission_id", "category"])
    for _, notes in frame.groupby("patient_id"):
        made.add(notes)
    return made


def test_an_admission_counts_once_for_each_category_it_has_a_note_of() -> None:
    made = counted(
        ("p", "1", "ECG"), ("p", "1", "ECG"), ("p", "2", "ECG"), ("p", None, "ECG"), ("q", "3", "Nursing"),
        ("q", "3", None),
    )  # fmt: skip
    assert list(made.told(admissions=4)) == [
        Category("ECG", 4, 4 / 6, 2, 2 / 4),
        Category("Nursing", 1, 1 / 6, 1, 1 / 4),
        Category(NONE, 1, 1 / 6, 1, 1 / 4),
    ]
    assert list(counted(("p", None, "ECG")).told(admissions=0)) == [Category("ECG", 1, 1.0, None, None)]
    assert list(counted(("p", "1", None)).told(admissions=1)) == []  # nothing names a category
    assert list(NoteCategories().told(admissions=3)) == []


def test_a_name_that_few_patients_have_is_not_told() -> None:
    many = [(str(patient), str(patient), "Triage") for patient in range(11)]
    few = [(str(patient), str(patient), "Mr Smith of Leeds") for patient in range(10)]
    told = list(counted(*many, *few, ("3", "3", "ECG")).told(admissions=11))
    assert [one.name for one in told] == ["Triage", "ECG", OTHERS]
    assert told[-1] == Category(OTHERS, 10, 10 / 22, None, None)


def test_a_column_of_free_text_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "_MOST", 5)
    made = counted(*(("p", "1", f"text {number}") for number in range(50)), ("p", "1", "ECG"))
    assert len(made._notes) == 5 + 2  # those kept, all others, and one that is known
    assert [(one.name, one.notes) for one in made.told(admissions=1)] == [("ECG", 1), (OTHERS, 50)]


def test_the_published_share_stands_beside_ours() -> None:
    told = [
        Category("Nursing/other", 3, 0.5, 2, 0.25)._asdict(),
        Category(OTHERS, 3, 0.5, None, None)._asdict(),
    ]
    (made,) = category_tables(told)
    assert [(*line.names, *(cell.text for cell in line.cells)) for line in made.lines] == [
        ("Nursing/other", "3", "50.00%", "2", "25.00%", "51.39%"),
        (OTHERS, "3", "50.00%", "", "", ""),
    ]
    assert [column.published for column in made.columns] == [False] * 4 + [True]
    assert category_tables([]) == []


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes") / "hospital"
    synthesize(folder, 60, seed=2)
    return folder


def shares(hospital: Path) -> dict[str, float]:
    """Return the share of admissions by category, from the tables as they stand in their files."""
    notes = pd.read_csv(hospital / "NOTEEVENTS.csv", dtype=str)
    sound = notes[(notes["ISERROR"] != "1") & notes["HADM_ID"].notna()]
    having = sound.groupby(sound["CATEGORY"].str.strip())["HADM_ID"].nunique()
    admissions = len(pd.read_csv(hospital / "ADMISSIONS.csv"))
    return {str(name): many / admissions for name, many in having.items()}


@pytest.mark.parametrize("unit", list(Unit))
def test_shares_are_of_admissions_whatever_the_unit_and_however_often_read(
    hospital: Path, tmp_path: Path, unit: Unit
) -> None:
    where = {"work_dir": tmp_path, "quarantine_file": tmp_path / "bad.csv", "unit": unit}
    with open_source("mimic3", hospital, **where) as source:  # type: ignore[arg-type]
        for _ in range(2):
            units = sum(len(batch) for batch in source.batches())
        report: Report = source.report
    found = {one.name: one.share_of_admissions for one in report.categories.told(report.counts["admissions"])}
    assert found == pytest.approx(shares(hospital))
    assert units


def test_a_dry_run_shows_them(hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = f"ingest --source mimic3 --path {hospital} --store qdrant:./dry --dry-run"
    code, _, told = run(asked)
    assert code == 0
    for name, share in shares(hospital).items():
        (line,) = [line for line in told.splitlines() if line.strip().startswith(f"{name} ")]
        assert f"{100 * share:.2f}%" in line
    assert "97.57%" in told
    assert "published" in told
    _, _, logged = run(f"{asked} --log-format json")
    (summary,) = [one for one in map(json.loads, logged.splitlines()) if "note_categories" in one]
    assert {one["name"]: one["share_of_admissions"] for one in summary["note_categories"]} == pytest.approx(
        shares(hospital)
    )
