"""What a query loads: its own process runs it, and says which libraries it holds afterwards."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ok

ASK = """
import sys
from cohorts.cli import main
sys.argv = ["cohorts", *sys.argv[1:]]
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names, file=sys.stderr)
"""
BY_PATIENT = {
    *("cohorts", "numpy", "qdrant_edge", "rich", "typer"),
    *("annotated_doc", "shellingham"),  # what typer loads; pydantic too, where a number or a choice is given
    *("markdown_it", "mdurl", "pygments"),  # what rich loads
}
FILTERED = {"sqlglot", "mypy_extensions"}
BY_TEXT = {"safetensors"}
ENCODERS = ("concat:lsa+codes", "lsa", "word2vec")


def named(encoder: str) -> str:
    """Return the collection of an encoder."""
    return re.sub(r"\W", "_", encoder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small hospital in embedded Qdrant, made by the commands."""
    folder = tmp_path_factory.mktemp("light")
    ok(f"synth {folder}/hospital --patients 60 --seed 7")
    for encoder in ENCODERS:
        ok(
            f"ingest --source mimic3 --path {folder}/hospital --encoder {encoder} "
            f"--store qdrant:{folder}/store --collection {named(encoder)}"
        )
    return folder / "store"


def loaded(store: Path, *asked: str, encoder: str = ENCODERS[0]) -> set[str]:
    """Return the libraries that a query holds, without the modules that belong to no package."""
    command = [
        sys.executable,
        "-c",
        ASK,
        "query",
        "--store",
        f"qdrant:{store}",
        "--collection",
        named(encoder),
        *asked,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "similarity" in done.stdout
    held = set(done.stderr.split("\n")[-2].split())
    return {name for name in held if not name.startswith("_") and "finder" not in name}


def test_a_query_by_patient_loads_the_engine_and_little_else(store: Path) -> None:
    assert loaded(store, "--patient", "10006") <= BY_PATIENT


def test_a_filter_is_parsed_by_one_more(store: Path) -> None:
    assert loaded(store, "--patient", "10006", "--where", "age >= 20") <= BY_PATIENT | FILTERED


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_query_by_text_loads_the_encoder_s_weights_and_no_more(store: Path, encoder: str) -> None:
    text = "heart failure with edema, no fever"
    assert loaded(store, "--text", text, encoder=encoder) <= BY_PATIENT | BY_TEXT


def test_what_words_add_is_told_without_more(store: Path) -> None:
    assert loaded(store, "--text", "heart failure with edema", "--explain") <= BY_PATIENT | BY_TEXT
