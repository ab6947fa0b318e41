"""Store, collection and encoder out of the environment and of files: which goes before which, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ok, refused, run

FILE = "cohorts.toml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_file(text: str) -> Path:
    """Write the user's own file."""
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "cohorts" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def shown(arguments: str = "") -> dict[str, tuple[str, str]]:
    """Return value and origin of every setting that `config show` shows."""
    rows = [line.split("  ") for line in ok(f"config show {arguments}").splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: (row[1], row[2]) for row in cells if len(row) == 3 and row[0] != "setting"}


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {origin for _, origin in shown().values()} == {"default"}
    own = own_file('collection = "own"\nstore = "qdrant:own"\n')
    assert shown()["collection"] == ("own", f"file {own}")
    Path(FILE).write_text('collection = "here"\n')
    assert shown()["collection"] == ("here", f"file {FILE}")
    assert shown()["store"] == ("qdrant:./cohorts.qdrant", "default")  # one file counts, not both
    monkeypatch.setenv("COHORTS_COLLECTION", "set")
    assert shown()["collection"] == ("set", "environment (COHORTS_COLLECTION)")
    assert shown("--collection typed")["collection"] == ("typed", "command line (--collection)")


def test_commands_take_what_the_file_says() -> None:
    Path(FILE).write_text('store = "qdrant:mine.qdrant"\ncollection = "mine"\nencoder = "codes:dim=8"\n')
    ok("synth hospital --patients 30")
    ok("ingest --source mimic3 --path hospital")
    assert Path("mine.qdrant").exists()
    told = ok("describe --store qdrant:mine.qdrant --collection mine")
    assert "codes" in told
    assert ok("describe") == told


def test_the_environment_gives_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    ok("synth hospital --patients 30")
    monkeypatch.setenv("COHORTS_ENCODER", "no-such-encoder")
    assert "no-such-encoder" in refused("ingest --source mimic3 --path hospital")
    monkeypatch.setenv("COHORTS_ENCODER", "")  # as good as not set
    assert shown()["encoder"][1] == "default"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b"store = qdrant", "is no TOML"),
        (b'\xff\xfe = "x"', "is not UTF-8"),
        (b'stroe = "qdrant:x"', "unknown key 'stroe'; the keys are store, collection, encoder"),
        (b"collection = 3", "must give collection as text in quotes"),
        (b'collection = " "', "must give collection as text in quotes"),
        (b'[store]\naddress = "qdrant:x"', "must give store as text in quotes"),
    ],
)
def test_a_bad_file_is_refused_by_name(text: bytes, wrong: str) -> None:
    Path(FILE).write_bytes(text)
    for command in ("config show", "describe", "query --patient 1 --store qdrant:x --collection y"):
        told = refused(command)
        assert told.startswith(f"The configuration {FILE} ")
        assert wrong in told
        assert "qdrant:x" not in told


def test_a_file_that_is_a_folder_is_refused() -> None:
    Path(FILE).mkdir()
    assert f"The configuration {FILE} can't be read" in refused("describe")


def test_help_and_commands_that_take_nothing_from_a_bad_file_work() -> None:
    Path(FILE).write_text("no TOML")
    for command in ("query --help", "config show --help", "doctor", "models", "--version"):
        assert run(command)[0] == 0


def test_help_shows_nothing_of_the_file() -> None:
    Path(FILE).write_text('store = "qdrant+http://a-host:6333?api=secret"\n')
    told = ok("describe --help")
    assert "COHORTS_STORE" in told
    assert "secret" not in told
    assert "a-host" not in told


def test_no_secret_of_a_store_is_shown() -> None:
    Path(FILE).write_text('store = "qdrant+http://name:password@a-host:6333?api=secret"\n')
    told = ok("config show")
    assert "qdrant+http://a-host:6333" in told
    assert "password" not in told
    assert "secret" not in told


def test_version() -> None:
    from cohorts import __version__

    assert ok("--version") == f"cohorts {__version__}\n"


def test_the_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        environment = os.environ | {
            "_COHORTS_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        code = "import sys; sys.argv[0] = 'cohorts'; from cohorts.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.split()

    Path(FILE).write_text("no TOML")  # does not disturb
    assert completed("cohorts ing") == ["ingest"]
    assert completed("cohorts query --coll") == ["--collection"]
    assert completed("cohorts query --format j") == ["json"]
    assert {"--install-completion", "--show-completion"} <= set(completed("cohorts --"))
