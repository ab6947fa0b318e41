"""A base install alone, in a process that does not find the packages of some extras: what works, and what is told."""

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = ("gensim", "jinja2", "sentence_transformers", "torch", "transformers")
# `find_spec` must not find them either: a None in sys.modules would be taken for torch by who looks there for it.
BARE = """
import sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec
missing = set(sys.argv.pop(1).split(","))


def find_spec(name, *more):
    return None if name.partition(".")[0] in missing else found(name, *more)


PathFinder.find_spec = staticmethod(find_spec)
from cohorts.cli import main
main()
"""


def cohorts(
    command: str, folder: Path, missing: tuple[str, ...] = EXTRAS
) -> subprocess.CompletedProcess[str]:
    """Run a command without some packages."""
    line = [sys.executable, "-c", BARE, ",".join(missing), *command.split()]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small hospital, made without any extra."""
    made = tmp_path_factory.mktemp("bare")
    done = cohorts("synth hospital --patients 60 --seed 7", made)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize(("encoder", "texts"), [("lsa", True), ("codes", False), ("concat:lsa+codes", True)])
def test_the_base_install_ingests_and_answers(folder: Path, encoder: str, *, texts: bool) -> None:
    name = encoder.partition(":")[0]
    at = f"--collection {name}"
    ingest = cohorts(f"ingest --source mimic3 --path hospital --encoder {encoder} {at}", folder)
    assert ingest.returncode == 0, ingest.stderr
    for question in ("--patient 10006", *(["--text pneumonia"] if texts else [])):
        answer = cohorts(f"query {at} {question} --format json", folder)
        assert answer.returncode == 0, answer.stderr
        assert '"neighbours"' in answer.stdout


SOURCE = "--source mimic3 --path nowhere"


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        (f"ingest {SOURCE} --encoder word2vec", "word2vec"),
        (f"ingest {SOURCE} --encoder fineehr", "word2vec,text"),
        (f"ingest {SOURCE} --encoder fused", "text"),
        (f"ingest {SOURCE} --encoder bert:nobody/nothing", "text"),
        (f"ingest {SOURCE} --encoder clinicalnotebert", "text"),
        (f"ingest {SOURCE} --encoder concat:codes+word2vec", "word2vec"),
        (f"fit {SOURCE} --encoder word2vec --out kept", "word2vec"),
        (f"train mlm --base nobody/nothing {SOURCE} --out out", "train"),
        (f"evaluate retrieval {SOURCE} --encoder codes", "report"),
        (f"evaluate fineehr {SOURCE}", "report"),
        (f"evaluate fused {SOURCE}", "report"),
        (
            "evaluate space --source notes-csv --path nowhere --columns id=id,text=t --labels t --encoder lsa",
            "report",
        ),
        ("evaluate similarity --pairs nowhere.csv", "report"),
        ("bench nowhere.toml --out out", "report"),
    ],
)
def test_a_missing_extra_is_named_before_any_work(folder: Path, command: str, extras: str) -> None:
    done = cohorts(command, folder)
    assert f"is not installed: pip install 'ehr-cohorts[{extras}]'." in " ".join(done.stderr.split())
    assert done.returncode == 2


def test_an_evaluation_names_the_extra_of_its_encoder(folder: Path) -> None:
    for command, extras in (
        (f"evaluate fineehr {SOURCE}", "word2vec,text"),
        (f"evaluate fused {SOURCE}", "text"),
    ):
        done = cohorts(command, folder, missing=("gensim", "torch"))
        assert f"pip install 'ehr-cohorts[{extras}]'" in " ".join(done.stderr.split())


def test_a_saved_encoder_whose_extra_is_missing_names_it(folder: Path) -> None:
    kept = folder / "kept"
    kept.mkdir()
    (kept / "encoder.json").write_text('{"name": "fused"}')
    done = cohorts("describe --encoder kept", folder)
    assert "pip install 'ehr-cohorts[text]'" in " ".join(done.stderr.split())
