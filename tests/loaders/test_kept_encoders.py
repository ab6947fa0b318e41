"""A collection keeps the encoder that made it: a query by text works wherever that encoder came from."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from cohorts.commands.hints import told
from cohorts.encoders.registry import load_encoder
from cohorts.errors import CohortsWarning
from cohorts.loaders.kept_encoders import keep_encoder
from cohorts.workspace import default_run_dir
from command_line import ok, refused

TEXT = '--text "chest pain"'
INGEST = "ingest --source mimic3 --path hospital"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital and an encoder trained on it, by the commands."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 60 --seed 7")
        ok("fit --source mimic3 --path hospital --encoder word2vec:dim=16,epochs=1 --out kept")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with the hospital and a copy of the encoder."""
    (tmp_path / "hospital").symlink_to(made / "hospital")
    shutil.copytree(made / "kept", tmp_path / "kept")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(about: str) -> int:
    return len(json.loads(ok(f"query {about} {TEXT} -k 3 --format json"))["neighbours"])


@pytest.mark.parametrize("fate", ["stays", "moved", "changed"])
def test_an_encoder_named_by_its_folder_answers_whatever_becomes_of_the_folder(here: Path, fate: str) -> None:
    ok(f"{INGEST} --encoder kept --collection refined")
    if fate == "moved":
        (here / "kept").rename(here / "elsewhere")
    if fate == "changed":
        (here / "kept" / "encoder.json").write_text("{}")
    assert answers("--collection refined") == 3


def test_what_is_kept_is_its_users_alone_and_checked(here: Path) -> None:
    ok(f"{INGEST} --encoder kept --collection refined")
    (folder,) = (here / "cohorts.qdrant.runs" / "refined" / "encoders").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    about = json.loads((folder / "encoder.json").read_text())
    about["vocabulary"].reverse()
    (folder / "encoder.json").write_text(json.dumps(about))
    assert "was changed since it was saved" in refused(f"query --collection refined {TEXT}")
    ok(f"{INGEST} --encoder kept --collection refined")  # which mends it
    assert answers("--collection refined") == 3


@pytest.mark.parametrize("encoder", ["kept", "word2vec:dim=16,epochs=1"])
def test_a_run_folder_of_its_own_hides_no_encoder(here: Path, encoder: str) -> None:
    ok(f"{INGEST} --encoder {encoder} --collection refined --run-dir run")
    assert answers("--collection refined") == 3
    ok(f"{INGEST} --encoder {encoder} --collection refined --run-dir run --update")


def test_shards_and_copies_answer(here: Path) -> None:
    for shard in ("1/2", "2/2"):
        ok(f"{INGEST} --encoder kept --collection refined --shard {shard}")
    shutil.rmtree("kept")
    assert answers("--collection refined") == 3
    ok("copy --from qdrant:./cohorts.qdrant --to qdrant:./other --collection refined --as again")
    shutil.rmtree("cohorts.qdrant.runs")
    assert answers("--store qdrant:./other --collection again") == 3


def test_an_encoder_that_is_there_is_left_for_those_who_read_it(here: Path) -> None:
    encoder = load_encoder(here / "kept")
    keep_encoder(encoder, here / "run", default_run_dir("qdrant:./s", "c"))
    folders = [here / "run" / "encoders", here / "s.runs" / "c" / "encoders"]
    files = [folder / encoder.fingerprint / "encoder.json" for folder in folders]
    before = [file.stat().st_ino for file in files]
    keep_encoder(encoder, here / "run", default_run_dir("qdrant:./s", "c"))
    assert [file.stat().st_ino for file in files] == before
    assert [list(folder.iterdir()) for folder in folders] == [[file.parent] for file in files]


def test_a_folder_that_takes_no_copy_is_told_with_what_to_do(here: Path) -> None:
    (here / "s.runs").write_text("a file where the folder should be")
    with pytest.warns(CohortsWarning, match="Queries by text need the encoder in run/encoders/") as warned:
        keep_encoder(load_encoder(here / "kept"), Path("run"), default_run_dir("qdrant:./s", "c"))
    assert "Queries by text need --encoder run/encoders/" in told(warned[0].message)
