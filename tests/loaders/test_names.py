"""What becomes a part of a path: names of collections from users, fingerprints from files of others."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection
from cohorts.errors import EncoderError, InputError
from cohorts.loaders.files.format import DEFINITION
from cohorts.loaders.targets import LoadRequest
from cohorts.workspace import attachment_file, default_run_dir, encoder_dir
from command_line import ok, refused, run
from loading import vectors

NO_NAMES = ["", " ", ".", "..", "../x", "/tmp/cohorts-x", "a/b", "a\\b", "a\x1bb", "a\nb", "x" * 256]
COMMANDS = [
    "ingest --source mimic3 --path hospital --store {store} --collection {name}",
    "ingest --source mimic3 --path hospital --store {store} --collection {name} --run-dir runs --download",
    "load --vectors made.npy --store {store} --collection {name}",
    "copy --from {store} --to {other} --collection c --as {name}",
    "copy --from {store} --to {other} --collection {name}",
    "export --store {store} --out out.parquet --collection {name}",
    "query --store {store} --patient 1 --collection {name}",
    "describe --store {store} --collection {name}",
    "verify --store {store} --collection {name}",
    "reindex --store {store} --collection {name} --index flat",
    "audit --store {store} --collection {name}",
    "tune --store {store} --collection {name} --target-recall .9",
    "attach --store milvus:./theirs.db --collection {name}",
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A collection c of 30 vectors in a working folder below the test's own."""
    here = tmp_path / "deep" / "down"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    np.save("made.npy", vectors(30))
    ok("load --vectors made.npy --store qdrant:./s --collection c")
    return "qdrant:./s"


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_name_that_is_a_path_is_refused_by_every_command_before_anything_is_made(
    store: str, tmp_path: Path
) -> None:
    before = files_below(tmp_path)
    for name in ("", "../x", str(tmp_path / "absolute")):
        for command in COMMANDS:
            error = refused(command.format(store=store, other="qdrant:./other", name=repr(name)))
            assert "name" in error, command
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_is_a_path_is_refused_by_the_library(name: str) -> None:
    for make in (
        LoadRequest,
        lambda name: default_run_dir("qdrant:s", name),
        lambda name: attachment_file("qdrant:s", name),
    ):
        with pytest.raises(InputError, match="name"):
            make(name)


def test_names_of_others_may_hold_what_ours_may_not(store: str) -> None:
    assert default_run_dir(store, "Notes 2026-v1.2").name == "Notes 2026-v1.2"
    assert "can't name a new collection" in refused(
        f"load --vectors made.npy --store {store} --collection a-b"
    )
    assert "can't name a new collection" in refused(
        f"load --vectors made.npy --store {store} --collection {'x' * 250}"
    )


@pytest.mark.parametrize("forged", ["../../../secrets", "/etc", "", "0123456789ABCDEF", "0" * 15, None, 7])
def test_a_forged_fingerprint_is_no_path(forged: object) -> None:
    about = Collection("c", 4, metadata={"encoder_fingerprint": forged})  # type: ignore[dict-item]
    with pytest.raises(EncoderError, match="no fingerprint"):
        encoder_dir("qdrant:s", "c", about)


def test_copy_of_a_forged_export_copies_no_folder(store: str, tmp_path: Path) -> None:
    secrets = tmp_path / "deep" / "secrets"  # from ./s.runs/forged/encoders/ it is ../../../../secrets
    secrets.mkdir()
    (secrets / "key").write_text("secret")
    forge_export("../../../../secrets")
    ok(f"load --vectors forged.parquet --store {store} --collection forged")
    assert run(f"copy --from {store} --to qdrant:./other --collection forged")[0] == 0
    assert not [file for file in files_below(tmp_path) if file.name == "key" and file.parent != secrets]
    assert "no fingerprint" in refused(f"query --store {store} --collection forged --text hip")


def forge_export(fingerprint: str) -> None:
    """Write forged.parquet, an export of collection c that says what made its vectors."""
    ok("export --store qdrant:./s --collection c --out made.parquet")
    table = pq.read_table("made.parquet")
    definition = json.loads(table.schema.metadata[DEFINITION])
    definition["metadata"] |= {"encoder": "word2vec", "encoder_fingerprint": fingerprint}
    pq.write_table(table.replace_schema_metadata({DEFINITION: json.dumps(definition)}), "forged.parquet")
