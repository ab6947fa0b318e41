"""Label columns of notes, of whatever name: kept under it, filtered by it, refused where they can't be."""

import csv
import io
import json
import shlex
from pathlib import Path

import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest
from cohorts.given import as_pairs
from cohorts.records.sources.registry import open_source
from command_line import ok, refused

# What spreadsheets and exports call their columns; `row` and `line` are names that the readers give, too.
NAMES = [
    "Admission Type",
    "a.b",
    "chunk-no",
    "Größe (cm)",
    "order",
    "row",
    "line",
    "patient_id",
    "text_",
    "ja, nein",
]
WORDS = ["headache", "fever", "cough", "renal", "stroke", "sepsis", "edema", "anemia", "pain", "nausea"]


def notes(folder: Path, *names: str, ids: str = "id", text: str = "note") -> Path:
    """Write 30 notes, each with every label: 0 or 1 by turns of its place."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([ids, text, *names])
    for row in range(30):
        note = " ".join(WORDS[(row * step) % 10] for step in range(1, 25))
        writer.writerow([100 + row, note, *(str((row >> at % 3) % 2) for at in range(len(names)))])
    file = folder / "notes.csv"
    file.write_text(out.getvalue(), encoding="utf-8")
    return file


def ingest(file: Path, labels: str, store: str, columns: str = "id=id,text=note") -> str:
    options = f"--columns {shlex.quote(columns)} --labels {shlex.quote(labels)} --store {store}"
    return f"ingest --source notes-csv --path {file} {options} --encoder word2vec:dim=8,min_count=1,epochs=1"


def found(store: str, where: str) -> list[dict[str, str]]:
    out = ok(f"query --store {store} --patient 100 -k 30 --where {shlex.quote(where)} --format json")
    answer: list[dict[str, str]] = json.loads(out)["neighbours"]
    return answer


@pytest.mark.parametrize("store", ["qdrant:./s", "milvus:./s.db"])
def test_labels_of_any_name_are_kept_and_filtered_by(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ",".join(f'"{name}"' if "," in name else name for name in NAMES)
    ok(ingest(notes(tmp_path, *NAMES), asked, store))
    shown = ok(f"describe --store {store}")
    for at, name in enumerate(NAMES):
        quoted = f'"label_{name}"' if set(name) & set(" (,") else f"label_{name}"
        assert quoted in shown.replace("\n", " "), name
        answers = found(store, f"{quoted} = '1'")
        assert {answer[f"label_{name}"] for answer in answers} == {"1"}
        ids = [id_ for id_ in range(101, 130) if ((id_ - 100) >> at % 3) % 2]
        assert sorted(int(answer["patient"]) for answer in answers) == ids, name


def units(file: Path, labels: list[str], **columns: str) -> pd.DataFrame:
    work = file.parent / "work"
    bad = file.parent / "bad.csv"
    with open_source(
        "notes-csv", file, work_dir=work, quarantine_file=bad, columns=columns, labels=labels
    ) as source:
        (batch,) = source.batches()
    assert len(batch.notes) == 30
    assert [len(note.split()) for note in batch.notes["text"]] == [24] * 30
    return batch.units


def test_columns_are_found_whatever_their_case_and_blanks(tmp_path: Path) -> None:
    file = notes(tmp_path, "Admission\nType", " Ward\u00a0No ", ids="Case  Nr.", text="Note, full = text")
    made = units(file, ["Admission Type", "ward no"], id="case nr.", text="note, full = text")
    assert made["label_Admission Type"].tolist() == ["0", "1"] * 15
    assert made["label_ward no"].tolist() == [*["0", "0", "1", "1"] * 7, "0", "0"]


@pytest.mark.parametrize(("ids", "text"), [("line", "row"), ("row", "line"), ("text", "patient_id")])
def test_ids_and_notes_may_stand_in_columns_of_any_name(ids: str, text: str, tmp_path: Path) -> None:
    file, parquet = notes(tmp_path, "w", ids=ids, text=text), tmp_path / "n.parquet"
    table = pyarrow.csv.read_csv(file)
    pyarrow.parquet.write_table(table.rename_columns({"w": "a.w"}), parquet)
    with file.open("a") as stream:
        stream.write(",of nobody,1\n")
    for path, label in ((parquet, "a.w"), (file, "w")):
        made = units(path, [label, ids], id=ids, text=text)
        assert (
            made["unit_id"].tolist() == made[f"label_{ids}"].tolist() == [str(one) for one in range(100, 130)]
        )
        assert made[f"label_{label}"].tolist() == ["0", "1"] * 15
    assert (tmp_path / "bad.csv").read_text().splitlines()[1:] == [f"notes.csv,31,32,{ids} is missing"]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("id=a,text=b", {"id": "a", "text": "b"}),
        ('id=a, "text=b, c"', {"id": "a", "text": "b, c"}),
        ('id=a,text="b, c = d"', {"id": "a", "text": "b, c = d"}),
        ("id=it's,text=a#b\\c", {"id": "it's", "text": "a#b\\c"}),
    ],
)
def test_names_with_commas_stand_in_double_quotes(text: str, pairs: dict[str, str]) -> None:
    assert as_pairs("--columns", text) == pairs


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("w,W", "Label column w is given twice (case does not matter)"),
        ("a b,A  B", "Label column a b is given twice"),
        ("w,NOTE", "Column NOTE can't be a label: it holds the notes"),
        ("a\\b", "can't name a label"),
        ("a\nb", "can't name a label"),
        ('w,"a b', "--labels has a double quote that is not closed"),
        ("x y", "has no column x y (case does not matter). It has: id, note, w"),
    ],
)
def test_labels_that_can_not_be_are_refused_before_anything_is_made(
    labels: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = notes(tmp_path, "w")
    assert told in refused(ingest(file, labels, "qdrant:./s"))
    assert not (tmp_path / "s").exists()
