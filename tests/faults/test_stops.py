"""Whoever ends a command, no word of a note stays: neither in the system's temporary folder nor in the run's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import wait_until

WORD = "zebrarash"
# The command, which stops for a while where the test says: then the signal comes.
WAITING = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from pathlib import Path
from cohorts.cli import main
from cohorts.encoders.word2vec import Word2Vec
from cohorts.records.tables.partition import Partition
def wait(*_, **__):
    Path("waiting").touch()
    time.sleep(60)
setattr(*{"reading": (Partition, "finish"), "training": (Word2Vec, "_train")}[sys.argv.pop(1)], wait)
main()
"""
COMMAND = [sys.executable, "-c", "from cohorts.cli import main; main()"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with notes, and one for temporary files that can be looked through."""
    (tmp_path / "tmp").mkdir()
    rows = "".join(f'{row},"{WORD} and pain, {"no " * (row % 3)}edema of note {row}."\n' for row in range(40))
    (tmp_path / "notes.csv").write_text("id,text\n" + rows)
    return tmp_path


def start(here: Path, command: list[str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *words, "--source=notes-csv", "--path=notes.csv", "--columns=id=id,text=text"],
        cwd=here,
        env={**os.environ, "TMPDIR": str(here / "tmp"), "COHORTS_CACHE": str(here / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(here: Path) -> list[str]:
    """Return the files in which the word of the notes stands, beside the notes themselves."""
    files = [file for file in here.rglob("*") if file.is_file() and file.name != "notes.csv"]
    return [str(file.relative_to(here)) for file in files if WORD.encode() in file.read_bytes()]


def scratch(here: Path) -> list[Path]:
    return list(here.rglob(".cohorts-*"))


@pytest.mark.parametrize(
    ("where", "how", "words"),
    [
        ("training", signal.SIGTERM, ["ingest", "--store=qdrant:store", "--encoder=word2vec"]),
        ("reading", signal.SIGHUP, ["fit", "--out=run"]),
    ],
    ids=["training", "reading"],
)
def test_a_signal_ends_what_works_long(here: Path, where: str, how: signal.Signals, words: list[str]) -> None:
    process = start(here, [sys.executable, "-c", WAITING, where], *words)
    wait_until((here / "waiting").exists, "the command at work")
    held = scratch(here)
    assert held
    assert all((here / "tmp") not in one.parents for one in held)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (out, err.strip().splitlines()[-1][:23]) == ("", "Error: Stopped as asked")
    assert "Traceback" not in err
    assert (scratch(here), told(here)) == ([], [])


def test_what_a_killed_training_left_goes_with_the_next_run(here: Path) -> None:
    words = ["ingest", "--store=qdrant:store", "--encoder=word2vec:dim=8"]
    process = start(here, [sys.executable, "-c", WAITING, "training"], *words)
    wait_until((here / "waiting").exists, "the command at work")
    process.kill()
    process.communicate()
    assert told(here)
    assert all(file.startswith("store.runs/") for file in told(here))
    process = start(here, COMMAND, *words, "--resume")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert scratch(here) == []
    assert [Path(file).name for file in told(here)] == ["encoder.json"]  # its vocabulary, in the run folder
