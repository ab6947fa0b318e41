"""The library names no option of the command line; each of its hints is a sentence with options here."""

import ast
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.commands.hints import HINTS, told
from cohorts.errors import CohortsWarning, InputError

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ("records", "encoders", "connectors", "loaders", "search", "analysis", "harness")
OPTION = re.compile(
    r"(?<![\w-])--[a-z]|\bcohorts (ingest|fit|train|load|export|copy|verify|attach|reindex|audit)\b"
)


def files() -> list[Path]:
    front = {ROOT / "cli.py"}
    return sorted(
        {file for room in LIBRARY for file in (ROOT / room).rglob("*.py")} | {*ROOT.glob("*.py")} - front
    )


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def hints(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield the hints that a module names, each with the names of its values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {one.arg: one.value for one in node.keywords if one.arg}
            for value in ast.walk(given["hint"]) if "hint" in given else ():
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                    yield value.value, set(given)


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_library_names_no_option(file: Path) -> None:
    named = [text for text in texts(ast.parse(file.read_text(encoding="utf-8"))) if OPTION.search(text)]
    assert named == []


def test_every_hint_has_its_sentence_and_the_values_it_needs() -> None:
    found = [one for file in files() for one in hints(ast.parse(file.read_text(encoding="utf-8")))]
    assert {name for name, _ in found} == set(HINTS)
    for name, given in found:
        needed = {field for _, field, _, _ in string.Formatter().parse(HINTS[name]) if field}
        assert needed <= given, name


def test_an_error_speaks_of_options_on_the_command_line_alone() -> None:
    error = InputError("No room in {x}.", remedy="Name another folder.", hint="another_source", source="{y}")
    assert str(error) == "No room in {x}. Name another folder."
    assert told(error) == "No room in {x}. Read this hospital with --source {y}."
    assert told(pickle.loads(pickle.dumps(error))) == told(error)  # as it comes from another process
    assert told(InputError("Nothing to do.")) == "Nothing to do."
    assert told(CohortsWarning("Odd.", remedy="Wait.", hint="reindex_again")).startswith(
        "Odd. Run cohorts reindex"
    )
    assert told(ValueError("other")) == "other"
