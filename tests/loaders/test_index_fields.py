"""Which payload fields get an index is chosen once, and stays so in every version and copy of the collection."""

from pathlib import Path

import cohorts
import pytest
from cohorts.connectors import parse_filter
from cohorts.connectors.base import Collection
from cohorts.connectors.collection import ATTACHED
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.loaders.points.payload import FILTERABLE
from cohorts.loaders.targets import LoadRequest
from command_line import ok, refused

STORE = "qdrant:./cohorts.qdrant"
INGEST = f"ingest --store {STORE} --collection notes --encoder word2vec:dim=8,epochs=1"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("fields") / "notes.csv"
    words = ("cough", "fever", "fall", "pain", "rash")
    lines = [f"{i},{words[i % 5]} and {words[i % 3]},{'AB'[i % 2]}\n" for i in range(40)]
    file.write_text("id,text,ward\n" + "".join(lines))
    return file


@pytest.fixture
def ingest(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"{INGEST} --source notes-csv --path {notes} --columns id=id,text=text --labels ward"


def made(store: str = STORE, name: str = "notes") -> Collection:
    with connect(store) as engine:
        return engine.describe(name).collection


@pytest.mark.parametrize(
    ("more", "indexed"),
    [
        ("", [*FILTERABLE, "label_ward"]),
        ("--index-fields none", []),
        ("--index-fields label_ward,age", ["age", "label_ward"]),
    ],
)
def test_those_asked_for_are_indexed_and_the_others_filtered_by(
    ingest: str, more: str, indexed: list[str]
) -> None:
    ok(f"{ingest} {more}")
    about = made()
    assert [*about.fields] == [*FILTERABLE, "label_ward"]
    assert [*about.indexed] == indexed
    with connect(STORE) as engine:
        assert engine.count("notes", parse_filter("label_ward = 'A'")) == 20
        assert engine.count("notes", parse_filter("age is null")) == 40
    shown = ok(f"describe --store {STORE} --collection notes")
    assert ("without an index" in shown) is (more != "")


@pytest.mark.parametrize("more", ["", " --dry-run"])
def test_a_field_that_is_not_there_is_refused_before_the_work(ingest: str, more: str) -> None:
    message = refused(f"{ingest} --index-fields age,label_wrad{more}")
    assert "There is no field 'label_wrad' to index. Nearest: label_ward. Fields: age, sex, died" in message
    assert not Path("cohorts.qdrant").exists()


def test_the_choice_stays_in_every_version_and_copy(ingest: str) -> None:
    ok(f"{ingest} --index-fields label_ward,died")
    wanted = ["died", "label_ward"]
    ok(ingest)
    ok(f"{ingest} --replace")
    assert (made().name, [*made().indexed]) == ("notes_v2", wanted)
    ok(f"reindex --store {STORE} --collection notes --index flat")
    assert (made().name, [*made().indexed]) == ("notes_v3", wanted)
    ok(f"copy --from {STORE} --to milvus:./copy.db --collection notes")
    assert [*made("milvus:./copy.db").indexed] == wanted
    ok("export --store milvus:./copy.db --collection notes --out notes.parquet")
    ok("load --vectors notes.parquet --collection again --filterable age")
    about = made("qdrant:./cohorts.qdrant", "again")
    assert {*about.fields} == {*FILTERABLE, "label_ward"}
    assert {*about.indexed} == {*wanted, "age"}
    ok(f"{ingest} --replace --index-fields age")
    assert [*made().indexed] == ["age"]


def test_another_choice_is_refused_where_the_collection_stands(ingest: str) -> None:
    ok(f"{ingest} --index-fields age,died")
    message = refused(f"{ingest} --index-fields none")
    assert "The collection has indexes of age, died; no field was asked." in message
    assert "Leave --index-fields out" in message
    ok(f"{ingest} --index-fields died,age")


def test_an_admission_is_found_by_the_index_of_its_patient_whatever_was_asked(
    tmp_path: Path, shared_data: Path
) -> None:
    with (
        cohorts.open_source("mimic3", shared_data / "mimic3-demo", unit="admission") as source,
        cohorts.connect(f"qdrant:{tmp_path}/store") as store,
    ):
        icu = cohorts.ingest(source, "codes:dim=16", store, "icu", index_fields="none", events=False)
        about = icu.describe().collection
        assert [*about.indexed] == ["patient_id"]
        assert {*about.unindexed} == {*FILTERABLE}
        assert len(icu.like_patient("10006", k=5, where="age >= 60")) == 5
        with pytest.raises(InputError, match="There is no field 'icu_days' to index"):
            cohorts.ingest(source, "codes:dim=16", store, "more", index_fields=["icu_days"])


def test_fields_of_others_are_their_owner_s_to_index() -> None:
    theirs = Collection("theirs", 4, fields={"age": float}, metadata={ATTACHED: True})
    with pytest.raises(InputError, match="its owner indexes its fields"):
        LoadRequest("theirs", index_fields=()).refuse_other(theirs)
