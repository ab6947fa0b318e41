"""The commands as a user types them, and the errors of the first day."""

import csv
import io
import json
import re
import shlex
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from cohorts import cli
from command_line import ok, refused, run

ROOT = Path(__file__).resolve().parents[2]
QDRANT = "--store qdrant:./cohorts.qdrant --collection icu"
MILVUS = "--store milvus:./cohorts.db --collection icu"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital and both embedded stores, made by the commands."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 300 --seed 7")
        for store in (QDRANT, MILVUS):
            ok(f"ingest --source mimic3 --path hospital --encoder word2vec:dim=32 {store}")
        ok(
            f"ingest --source mimic3 --path hospital --unit admission --encoder word2vec:dim=32 {QDRANT}_stays"
        )
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize("store", [QDRANT, MILVUS])
def test_query_by_patient(here: Path, store: str) -> None:
    answer = json.loads(ok(f"query {store} --patient 10006 -k 20 --format json"))
    assert (answer["synthetic"], answer["asked"], answer["got"]) == (True, 20, 20)
    found = answer["neighbours"]
    assert "10006" not in {row["patient"] for row in found}
    assert [row["rank"] for row in found] == list(range(1, 21))
    similarity = [row["similarity"] for row in found]
    assert similarity == sorted(similarity, reverse=True)
    assert set(found[0]) == {
        "rank",
        "patient",
        "admission",
        "similarity",
        "age",
        "sex",
        "diagnosis_code",
        "diagnosis",
        "outcome",
    }


def test_both_engines_find_the_same(here: Path) -> None:
    one, two = (
        json.loads(ok(f"query {store} --patient 10010 -k 10 --format json"))["neighbours"]
        for store in (QDRANT, MILVUS)
    )
    assert [row["patient"] for row in one] == [row["patient"] for row in two]


def test_table_and_csv(here: Path) -> None:
    table = ok(f"query {QDRANT} --patient 10006 -k 3")
    assert "synthetic data" in table
    for word in ("rank", "patient", "similarity", "principal diagnosis", "outcome"):
        assert word in table
    rows = list(csv.DictReader(io.StringIO(ok(f"query {QDRANT} --patient 10006 -k 3 --format csv"))))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]


def test_filter_and_short_answers(here: Path) -> None:
    where = "age >= 60 and sex = 'F'"
    answer = json.loads(ok(f'query {QDRANT} --patient 10006 -k 500 --where "{where}" --format json'))
    assert 0 < answer["got"] < answer["asked"] == 500
    assert all(row["age"] >= 60 and row["sex"] == "F" for row in answer["neighbours"])
    code, _, err = run(f'query {QDRANT} --patient 10006 -k 500 --where "{where}"')
    assert code == 0
    assert "500 were asked for" in err


def test_query_by_text_and_note_file(here: Path) -> None:
    text = "hip pain after a fall, femoral neck fracture, orthopedics"
    (here / "note.txt").write_text(text)
    by_text = json.loads(ok(f'query {QDRANT} --text "{text}" -k 5 --format json'))
    assert by_text == json.loads(ok(f"query {QDRANT} --note-file note.txt -k 5 --format json"))
    assert len(by_text["neighbours"]) == 5
    assert "knows no word" in refused(f'query {QDRANT} --text "xyzzy"')


def test_admissions_leave_out_all_rows_of_the_patient(here: Path) -> None:
    hospital = list(csv.DictReader((here / "hospital" / "ADMISSIONS.csv").open()))
    several = next(
        r["SUBJECT_ID"] for r in hospital if sum(o["SUBJECT_ID"] == r["SUBJECT_ID"] for o in hospital) > 1
    )
    found = json.loads(ok(f"query {QDRANT}_stays --patient {several} -k 50 --format json"))["neighbours"]
    assert len(found) == 50
    assert several not in {row["patient"] for row in found}


def test_a_patient_who_is_not_there(here: Path) -> None:
    told = refused(f"query {QDRANT} --patient 10301")
    assert "holds no patient 10301. Add --suggest" in told
    assert "10300" not in told
    assert "The nearest ids: 10300, 10299" in refused(f"query {QDRANT} --patient 10301 --suggest")
    assert "The nearest ids: 10" in refused(f"query {QDRANT}_stays --patient smith --suggest")


def test_another_encoder_is_refused_by_fingerprint(here: Path) -> None:
    ok("ingest --source mimic3 --path hospital --encoder word2vec:dim=32,seed=5 --store qdrant:./other")
    (other,) = (here / "other.runs" / "cohorts" / "encoders").iterdir()
    for how in ("--patient 10006", "--text sepsis"):
        assert "fingerprint" in refused(f"query {QDRANT} {how} --encoder {other}")
    again = f"ingest --source mimic3 --path hospital --encoder {other} {QDRANT}"
    assert "--replace" in refused(again)
    assert json.loads(ok(f"query {QDRANT} --patient 10006 --format json"))["got"] == 10


def test_ingest_again_changes_nothing(here: Path) -> None:
    before = ok(f"query {MILVUS} --patient 10006 --format json")
    ok(f"ingest --source mimic3 --path hospital --encoder word2vec:dim=32 {MILVUS}")
    assert ok(f"query {MILVUS} --patient 10006 --format json") == before


def test_manifest_tells_the_run_and_holds_no_text(here: Path) -> None:
    folder = here / "cohorts.qdrant.runs" / "icu"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["counts"]["patients"] == manifest["written"] == 300
    assert set(manifest["seconds"]) == {"read", "train", "encode", "write", "index", "verify"}
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "journal.sqlite",
        "encoders",
        "events.parquet",
        "outcomes.parquet",
    }  # no parts are left
    assert (folder / "encoders" / manifest["encoder"]["fingerprint"]).is_dir()


def test_dry_run_counts_and_writes_nothing(here: Path) -> None:
    code, out, err = run("ingest --source mimic3 --path hospital --store qdrant:./dry --dry-run")
    assert (code, out) == (0, "")
    assert "300" in err
    assert not (here / "dry").exists()


def test_no_note_text_in_payloads(here: Path) -> None:
    from cohorts.connectors.registry import connect

    with connect("qdrant:./cohorts.qdrant") as connector:
        kept = str([page.payloads for page in connector.scroll("icu")])
    for phrase in ("Admission Date", "Brief Hospital Course", "alert and oriented"):
        assert phrase not in kept


def test_describe_and_doctor(here: Path) -> None:
    about = ok(f"describe {QDRANT}")
    for word in ("word2vec", "cosine", "hnsw(m=32, ef_construction=400)", "300", "mimic3", "patient"):
        assert word in about
    found = ok("doctor")
    assert "qdrant-edge-py" in found
    assert re.search(r"ehr-cohorts\s+0\.1\.0", found)
    assert "processor" in found


def test_doctor_names_the_command_for_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "faiss-cpu":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr("cohorts.commands.output.doctor.version", version)
    monkeypatch.setenv("COLUMNS", "200")
    assert "pip install 'ehr-cohorts[reference]'" in ok("doctor")


def test_real_notes_go_in_and_answer(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, file, columns, label, patient in (
        ("aci", "aci-bench/train.csv", "id=encounter_id,text=note", "dataset", "D2N001"),
        ("mts", "mtsamples/mtsamples.csv.gz", "id=sample_id,text=text", "medical_specialties", "1001"),
    ):
        store = f"--store qdrant:./real --collection {name}"
        ok(
            f"ingest --source notes-csv --path {shared_data / file} --columns {columns} --labels {label} {store}"
        )
        answer = json.loads(ok(f"query {store} --patient {patient} -k 5 --format json"))
        assert (answer["synthetic"], answer["got"]) == (False, 5)
        assert answer["neighbours"][0][f"label_{label}"]


@pytest.mark.parametrize("source", ["mimic3", "mimic4"])
def test_real_codes_go_in_and_answer(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ok(f"ingest --source {source} --path {shared_data / source}-demo")
    patient = "10006" if source == "mimic3" else "10000032"
    out = ok(f"query --patient {patient} -k 5 --format json")
    assert json.loads(out)["got"] == 5


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "query --store qdrant:./cohorts.qdrant --collection gone --patient 1",
            "Collections here: icu, icu_stays",
        ),
        (f"query {QDRANT}", "Ask by --patient ID, --text TEXT or --note-file FILE, one or several"),
        (f"query {QDRANT} --patient 10006 --where 'weight > 3'", "There is no field 'weight'"),
        (f"query {QDRANT} --patient 10006 --where 'age >'", "The filter can't be read"),
        (f"query {QDRANT} --patient 10006 --search ef=3", "a key of: ef_search"),
        ("query --store redis:x --patient 1", "is no store address"),
        ("query --store milvus:x --patient 1", "must end in .db"),
        ("ingest --source eicu --path hospital", "Sources: mimic3, mimic4, notes-csv"),
        ("ingest --source mimic3 --path nowhere", "Table PATIENTS is missing"),
        ("ingest --source mimic3 --path hospital --encoder gpt", "Encoders: lsa, codes, word2vec"),
        (
            "ingest --source mimic3 --path hospital --index ivf --strict-index",
            "qdrant-edge has no index ivf(nlist=1024, variant=flat). It has: flat, hnsw (scalar, product, binary).",
        ),
        ("ingest --source mimic3 --path hospital --index hnsw:m=0", "m is 0; it lies between 2 and 2,048"),
        ("synth hospital", "is not empty"),
    ],
)
def test_errors_of_the_first_day_say_what_to_do(here: Path, command: str, message: str) -> None:
    assert message in refused(command)


def test_errors_are_printed_without_a_traceback(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["cohorts", *shlex.split(f"query {QDRANT} --patient 7")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: Collection icu holds no patient 7.")
