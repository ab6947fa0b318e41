"""A base install alone, in a process that does not find the packages of some extras: what works, and what is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Ended, Forked

EXTRAS = ("gensim", "jinja2", "sentence_transformers", "torch", "transformers")
# `find_spec` must not find them either: a None in sys.modules would be taken for torch by who looks there for it.
BARE = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
missing = {missing}


def find_spec(name, *more):
    return None if name.partition(".")[0] in missing else found(name, *more)


PathFinder.find_spec = staticmethod(find_spec)
import pandas, pyarrow, qdrant_edge, sklearn
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Runs commands without the packages of some extras."""
    with Forked(tmp_path_factory.mktemp("bare"), BARE.format(missing=EXTRAS)) as processes:
        yield processes


@pytest.fixture(scope="module")
def hospital(bare: Forked) -> None:
    """A small hospital in the folder of the commands, made without any extra."""
    done = bare.run("synth hospital --patients 60 --seed 7")
    assert done.code == 0, done.err


@pytest.mark.usefixtures("hospital")
@pytest.mark.parametrize(("encoder", "texts"), [("lsa", True), ("codes", False), ("concat:lsa+codes", True)])
def test_the_base_install_ingests_and_answers(bare: Forked, encoder: str, *, texts: bool) -> None:
    name = encoder.partition(":")[0]
    at = f"--collection {name}"
    ingest = bare.run(f"ingest --source mimic3 --path hospital --encoder {encoder} {at}")
    assert ingest.code == 0, ingest.err
    for question in ("--patient 10006", *(["--text pneumonia"] if texts else [])):
        answer = bare.run(f"query {at} {question} --format json")
        assert answer.code == 0, answer.err
        assert b'"neighbours"' in answer.out


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
def test_a_missing_extra_is_named_before_any_work(bare: Forked, command: str, extras: str) -> None:
    done = bare.run(command)
    assert f"is not installed: pip install 'ehr-cohorts[{extras}]'." in told(done)
    assert done.code == 2


def told(done: Ended) -> str:
    """Return what a command told on stderr, without its line breaks."""
    return " ".join(done.err.decode().split())


def test_an_evaluation_names_the_extra_of_its_encoder(tmp_path: Path) -> None:
    with Forked(tmp_path, BARE.format(missing=("gensim", "torch"))) as processes:
        for command, extras in (
            (f"evaluate fineehr {SOURCE}", "word2vec,text"),
            (f"evaluate fused {SOURCE}", "text"),
        ):
            assert f"pip install 'ehr-cohorts[{extras}]'" in told(processes.run(command))


def test_a_saved_encoder_whose_extra_is_missing_names_it(bare: Forked) -> None:
    kept = bare.folder / "kept"
    kept.mkdir()
    (kept / "encoder.json").write_text('{"name": "fused"}')
    assert "pip install 'ehr-cohorts[text]'" in told(bare.run("describe --encoder kept"))
