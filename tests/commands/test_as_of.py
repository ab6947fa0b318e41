"""Collections of what was known by a time: made, asked, exported, and told from those of the whole stay."""

import csv
import json
import re
from pathlib import Path

import cohorts
import pytest
from cohorts.connectors.base import Collection
from cohorts.errors import InputError
from cohorts.search.neighbours import records_seen
from command_line import ok, refused

STORE = "--store qdrant:./cohorts.qdrant"
SOURCE = "--source mimic3 --path hospital"
CODES = "--encoder codes:dim=8"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic hospital, loaded whole and as of two days after admission."""
    folder = tmp_path_factory.mktemp("as_of")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 120 --seed 3")
        ok(f"fit {SOURCE} {CODES} --as-of admission+2d --out early")
        ok(f"ingest {SOURCE} --encoder early {STORE} --collection early")
        ok(f"ingest {SOURCE} {CODES} {STORE} --collection whole")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def some_patient(collection: str) -> str:
    with cohorts.connect("qdrant:./cohorts.qdrant") as store:
        return next(store.connector.scroll(collection, 1)).ids[0]


@pytest.mark.parametrize(("collection", "seen"), [("early", "admission+48h"), ("whole", "whole stay")])
def test_every_answer_says_what_was_seen(here: Path, collection: str, seen: str) -> None:
    where = f"{STORE} --collection {collection}"
    assert re.search(rf"records seen +{re.escape(seen)} ", ok(f"describe {where}"))
    asked = f"query {where} --patient {some_patient(collection)} -k 3"
    assert json.loads(ok(f"{asked} --format json"))["as_of"] == seen
    rows = list(csv.DictReader(ok(f"{asked} --format csv").splitlines()))
    assert {row["as_of"] for row in rows} == {seen}
    assert f"records seen: {seen}\n" in re.sub(" +\n", "\n", ok(asked))
    patient = some_patient(collection)
    with cohorts.connect("qdrant:./cohorts.qdrant") as store:
        found = store.collection(collection).like_patient(patient, k=2)
    assert found.as_of == seen
    assert f"records seen: {seen}" in repr(found)


def test_a_collection_of_before_there_were_windows_is_of_the_whole_stay() -> None:
    ours = {"encoder": "codes", "encoder_fingerprint": "0123"}
    assert records_seen(Collection("old", 8, metadata=ours)) == "whole stay"
    assert records_seen(Collection("theirs", 8)) == ""


def test_an_update_and_another_encoder_keep_to_the_window(here: Path) -> None:
    where = f"{STORE} --collection early"
    ok(f"ingest {SOURCE} --encoder early --update {where}")
    told = refused(f"ingest {SOURCE} {CODES} --as-of admission+24h --update {where}")
    assert "holds vectors of admission+48h; asked for are those of admission+24h" in told
    ok(f"ingest {SOURCE} {CODES} --update {where}")
    assert re.search(r"records seen +admission\+48h ", ok(f"describe {where}"))
    told = refused(f"ingest {SOURCE} --encoder early --as-of admission+24h {STORE} --collection other")
    assert "was trained on the records of admission+48h, not of admission+24h" in told
    assert "cohorts fit --as-of admission+24h" in told
    assert "write admission+24h" in refused(f"ingest {SOURCE} {CODES} --as-of 24h {STORE} --collection other")
    told = refused(f"ingest {SOURCE} {CODES} --as-of first_dose {STORE} --collection other")
    assert "no column 'first_dose'" in told
    assert "emergency_to" in told


def test_an_export_keeps_the_window_and_can_insist_on_one(here: Path, tmp_path: Path) -> None:
    whole, early = f"{STORE} --collection whole", f"{STORE} --collection early"
    told = refused(f"export --out {tmp_path}/whole.parquet {whole} --as-of admission+2d")
    assert "Collection whole holds vectors of whole stay, not of admission+48h" in told
    assert not list(tmp_path.iterdir())
    ok(f"export --out {tmp_path}/early.parquet {early} --as-of admission+2d")
    ok(f"load --vectors {tmp_path}/early.parquet {STORE} --collection again")
    assert re.search(r"records seen +admission\+48h ", ok(f"describe {STORE} --collection again"))


def test_from_python(here: Path) -> None:
    encoder = cohorts.make_encoder("codes", dim=8, as_of="admission..icu+1d")
    with cohorts.open_source("mimic3", "hospital") as source, cohorts.connect("memory:") as store:
        collection = cohorts.ingest(source, encoder, store, "window")
        assert collection.describe().collection.metadata["as_of"] == "admission..icu+24h"
    with pytest.raises(InputError, match=r"write admission\+24h"):
        cohorts.make_encoder("codes", as_of="24h")
