"""No message, log, manifest, quarantine, rejected row or report quotes a cell of what it was made from.

Every cell of every kind of file holds a text that stands nowhere else. Commands that succeed and commands that fail are
run over them, in both formats of the log, and all that they print and write is searched.

Not searched: collections, encoders and journals, which keep patients' facts to answer by; the lists of ids of rejected
rows and of the questions that were answered best and worst, by which the user finds them.
"""

import csv
import re
import shutil
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_files import hdf5
from cohorts.errors import InputError
from cohorts.harness.evaluate.retrieval.grades import Judged
from cohorts.harness.evaluate.retrieval.population import Population
from command_line import run

Row = list[str]
BY_ID = ("rejected.csv", "extremes.csv")
PLANTED = re.compile(r"Qz\w+|\b77\d{7}\b|2177-\d\d-\d\d")  # texts, ids, dates


def planted(*where: object) -> str:
    """Return a text that stands nowhere else. It could be a name of a column."""
    return f"Qz{'_'.join(map(str, where))}"


def cell(table: str, column: str, row: int) -> str:
    """Return what a column may hold: an id, a date or a code as far as it must be one, else a planted text."""
    patient, many = row // 2, 10 + row % 2
    match column.lower():
        case "subject_id":
            return str(770_000_000 + patient)
        case "hadm_id":
            return str(771_000_000 + patient)
        case "itemid":
            return str(772_000_000 + many)
        case "dob" | "admittime" | "dischtime" | "chartdate" | "charttime" | "time":
            return f"2177-{1 + row % 12:02}-{many:02}"
        case "seq_num" | "valuenum" | "los" | "hospital_expire_flag" | "anchor_age":
            return str(row % 2)
        case "anchor_year":
            return "2177"
        case "icd_version":
            return "9"
        case "icd9_code" | "icd_code":
            return f"{4000 + row}"
        case "iserror":
            return ""
    return planted(table, column, row)


_ICD = "subject_id,hadm_id,seq_num"
_COMMON = {
    "admissions": "subject_id,hadm_id,admittime,dischtime,admission_type,hospital_expire_flag",
    "prescriptions": "subject_id,hadm_id,drug",
    "labevents": "subject_id,hadm_id,itemid,charttime,valuenum,valueuom",
    "d_labitems": "itemid,label",
}
MIMIC3 = {
    **_COMMON,
    "patients": "subject_id,gender,dob",
    "diagnoses_icd": f"{_ICD},icd9_code",
    "procedures_icd": f"{_ICD},icd9_code",
    "noteevents": "subject_id,hadm_id,chartdate,charttime,category,iserror,text",
    "icustays": "subject_id,hadm_id,los",
    "d_icd_diagnoses": "icd9_code,long_title",
}
MIMIC4 = {
    **{f"hosp/{name}": columns for name, columns in _COMMON.items()},
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year",
    "hosp/diagnoses_icd": f"{_ICD},icd_code,icd_version",
    "hosp/procedures_icd": f"{_ICD},icd_code,icd_version",
    "icu/icustays": "subject_id,hadm_id,los",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "note/discharge": "subject_id,hadm_id,charttime,text",
}
NOTES = {"notes": "id,text,category,time,label"}
ROWS = 24


def grid(table: str, columns: str) -> list[Row]:
    """Return the rows of a table, its header first."""
    names = columns.split(",")
    once = table.split("/")[-1] in ("patients", "admissions", "icustays")  # a row per patient
    return [names, *([cell(table, name, row) for name in names] for row in range(0, ROWS, 1 + once))]


def write(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


# What goes wrong with a table: its rows, header first, as it then is.


def no_header(rows: list[Row]) -> list[Row]:
    return rows[1:]


def other_columns(rows: list[Row]) -> list[Row]:
    return [[f"{name}_2" for name in rows[0]], *rows[1:]]


def a_column_less(rows: list[Row]) -> list[Row]:
    return [row[1:] for row in rows]


def a_header_twice(rows: list[Row]) -> list[Row]:
    return [[*row, row[-1]] for row in rows]


def other_types(rows: list[Row]) -> list[Row]:
    return [
        rows[0],
        *([planted("type", at, place) for place in range(len(row))] for at, row in enumerate(rows[1:])),
    ]


def one_of_other_types(rows: list[Row]) -> list[Row]:
    return [*rows[:-1], *other_types(rows)[-1:]]


def ragged(rows: list[Row]) -> list[Row]:
    return [
        rows[0],
        *(row[:-1] if at % 2 else [*row, planted("more", at)] for at, row in enumerate(rows[1:])),
    ]


def strangers(rows: list[Row]) -> list[Row]:
    return [rows[0], *([planted("id"), *row[1:]] if at == 3 else row for at, row in enumerate(rows[1:]))]


HEADER_FAULTS = [no_header, other_columns, a_column_less, a_header_twice]
ROW_FAULTS = [other_types, one_of_other_types, ragged, strangers]


def unclosed(path: Path) -> None:
    """Open a quote in the middle of a file and never close it."""
    text = path.read_text()
    half = text.index("\n", len(text) // 2) + 1
    path.write_text(f'{text[:half]}"{text[half:]}')


def swept(folder: Path) -> str:
    """Return all that a command wrote for people or for other programs to read."""
    files = [file for file in folder.rglob("*") if file.suffix in (".csv", ".json", ".html", ".md", ".txt")]
    kept = [file for file in files if "encoders" not in file.parts and "store" not in file.parts]
    return "\n".join(file.read_text(errors="replace") for file in kept if file.name not in BY_ID)


class Searched:
    """Runs commands in a folder and finds what of the cells they let out."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self._runs = 0

    def run(self, command: str, *codes: int) -> str:
        """Run a command in one of the log's formats, in turn; return what it told."""
        self._runs += 1
        form = ("text", "json")[self._runs % 2]
        shutil.rmtree(self.out, ignore_errors=True)
        code, out, err = run(f"{command} --log-format {form}")
        assert code in codes, (command, code, err)
        told = "\n".join((out, err, swept(self.out)))
        assert not (leaked := PLANTED.findall(told)), (command, sorted(set(leaked))[:5], err)
        return told


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    return Searched(tmp_path)


SOURCES = {
    "mimic3": (MIMIC3, "--path {folder}"),
    "mimic4": (MIMIC4, "--path {folder} --notes {folder}"),
    "notes-csv": (
        NOTES,
        "--path {folder}/notes.csv --columns id=id,text=text,category=category,time=time --labels label",
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources(source: str, tmp_path: Path, searched: Searched) -> None:
    shape, where = SOURCES[source]
    folder = tmp_path / "data"
    sound = {name: grid(name, columns) for name, columns in shape.items()}
    files = {name: write(folder / f"{name}.csv", rows) for name, rows in sound.items()}
    command = f"ingest --source {source} {where.format(folder=folder)} --dry-run --run-dir {searched.out}"
    searched.run(f"{command} --max-bad-share 0", 0)
    many = len(files) > 1
    tried = zip(files, cycle(HEADER_FAULTS), strict=False) if many else product(files, HEADER_FAULTS)
    for name, fault in tried:
        write(files[name], fault(sound[name]))
        searched.run(command, 2)
        write(files[name], sound[name])
    for fault in ROW_FAULTS if source != "mimic4" else []:  # whose tables are read as MIMIC-III's are
        for name, file in files.items():
            write(file, fault(sound[name]))
        searched.run(f"{command} --max-bad-share 1", 0, 2)
    searched.run(command, 0, 2)
    for name, file in files.items():
        write(file, sound[name])
        unclosed(file)
    searched.run(command, 0, 2)
    searched.run(f"{command} --max-bad-share 1", 0, 2)


# What stands beside vectors, and what judges them

MATRIX = np.eye(6, dtype=np.float32)
PAYLOAD = [["id", "label", "age"], *([planted("id", n), planted("label", n), str(n)] for n in range(6))]


def npy(path: Path, matrix: Any = MATRIX) -> Path:
    np.save(path, matrix)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def column(name: str, rows: int = 6) -> list[str]:
    return [planted(name, row) for row in range(rows)]


def test_vectors_and_their_payload(tmp_path: Path, searched: Searched) -> None:
    half = MATRIX.copy()
    half[2] = np.nan
    npy(tmp_path / "v.npy")
    npy(tmp_path / "nan.npy", half)
    vectors = pa.array(MATRIX.tolist(), pa.list_(pa.float32()))
    texts = {"id": column("id"), "label": column("label")}
    parquet(tmp_path / "v.parquet", **texts, vector=vectors)
    parquet(tmp_path / "headless.parquet", **{name: column(name) for name in column("name")})
    parquet(
        tmp_path / "struct.parquet",
        **texts,
        vector=vectors,
        facts=[{"a": one} for one in column("s")],
    )
    hdf5(tmp_path / "v.hdf5", train=MATRIX, **{name: np.array(values, "S") for name, values in texts.items()})
    payload = tmp_path / "p.csv"
    store = f"--store qdrant:{searched.out}/store --collection c --run-dir {searched.out}"
    load = f"load {store} --vectors {tmp_path}"
    write(payload, PAYLOAD)
    beside = f"--payload {payload}"
    for command, code in (
        (f"v.npy {beside} --filterable label", 0),
        (f"nan.npy {beside}", 3),
        (f"v.npy {beside} --filterable absent", 2),
        (f"v.npy {beside} --id-column absent", 2),
        ("v.parquet --filterable label", 0),
        ("v.parquet --vector-column absent", 2),
        ("v.parquet --vector-column label", 2),
        ("headless.parquet", 2),
        ("struct.parquet", 2),
        ("v.hdf5", 0),
        ("v.hdf5 --vector-column absent", 2),
    ):
        searched.run(f"{load}/{command}", code)
    for fault in (no_header, a_header_twice, ragged):
        write(payload, fault(PAYLOAD))
        searched.run(f"{load}/v.npy {beside}", 2)
        searched.run(f"{load}/v.npy {beside} --id-column absent --filterable nothing", 2)
    # As many rows as vectors, for a line was taken for the header.
    write(payload, no_header([*PAYLOAD, ["more", planted("more"), "1"]]))
    searched.run(f"{load}/v.npy {beside} --id-column absent", 2)
    unclosed(write(payload, PAYLOAD))
    searched.run(f"{load}/v.npy {beside}", 2)


PAIRS = [["text_a", "text_b", "score"], *([planted("a", n), planted("b", n), str(n)] for n in range(6))]
JUDGED = [["patient", "other", "grade"], *([planted("p", n), planted("p", n + 1), str(n)] for n in range(6))]


def test_pairs_and_judgements(tmp_path: Path, searched: Searched) -> None:
    pairs, judged = tmp_path / "pairs.csv", tmp_path / "judged.csv"
    population = Population([planted("p", 0)], np.zeros(1, np.intp), [], np.zeros((1, 0), np.bool_), {})

    def judgements() -> str:
        with pytest.raises(InputError) as caught:
            Judged(judged, population)
        return str(caught.value)

    for fault in [*HEADER_FAULTS, *ROW_FAULTS]:
        write(pairs, fault(PAIRS))
        if fault is not strangers:  # which are sound for pairs
            assert pairs.name in searched.run(f"evaluate similarity --pairs {pairs} --out {searched.out}", 2)
        write(judged, fault(JUDGED))
        assert not PLANTED.findall(judgements())
    unclosed(write(pairs, PAIRS))
    assert pairs.name in searched.run(f"evaluate similarity --pairs {pairs} --out {searched.out}", 2)
    unclosed(write(judged, JUDGED))
    assert not PLANTED.findall(judgements())


def test_a_report_of_neighbours(tmp_path: Path, searched: Searched) -> None:
    texts = [" ".join(planted("word", (row * 7 + place) % 23) for place in range(9)) for row in range(60)]
    rows = [[planted("id", row), text, planted("label", row % 3)] for row, text in enumerate(texts)]
    notes = write(tmp_path / "n.csv", [["id", "text", "label"], *rows])
    where = f"--source notes-csv --path {notes} --columns id=id,text=text --labels label"
    searched.run(f"evaluate retrieval {where} --queries 3 --k 5 --out {searched.out}", 0)
    assert (searched.out / "report.html").is_file()
