"""Every command in the documents is one that `cohorts` takes: its options exist, and none that it needs is missing."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from cohorts.cli import app
from cohorts.encoders.registry import encoder_names, make_encoder

ROOT = Path(__file__).parents[2]
UsageError: Any = typer.BadParameter.__base__  # of the click that typer brings with it
_BLOCK = re.compile(r"^```(?:text|console|sh|bash|)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Return the words of every command line in the blocks of code, what follows a pipe, & or > left out."""
    lines = [
        line.removeprefix("$ ")
        for block in _BLOCK.findall(text)
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    ]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("cohorts ")]
    return [[*_until(words[1:], ("|", "&&", ">", "2>"))] for words in found]


def _until(words: list[str], ends: tuple[str, ...]) -> list[str]:
    return words[: next((at for at, word in enumerate(words) if word in ends), len(words))]


def parse(words: list[str]) -> None:
    """Parse a command as the command line would, without running it. Raises UsageError."""
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "resolve_command"):
        context = typer.Context(command, parent=context)
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, list(words), parent=context)


DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("file", DOCUMENTS, ids=[file.name for file in DOCUMENTS])
def test_commands_in_documents_exist(file: Path) -> None:
    for words in commands(file.read_text(encoding="utf-8")):
        try:
            parse(words)
        except UsageError as error:
            pytest.fail(f"cohorts {shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("file", DOCUMENTS, ids=[file.name for file in DOCUMENTS])
def test_encoders_in_documents_can_be_made(file: Path) -> None:
    known = encoder_names()
    for words in commands(file.read_text(encoding="utf-8")):
        for option, spec in pairwise(words):
            if option == "--encoder" and re.split("[:=]", spec)[0] in known:
                make_encoder(spec)


def test_an_option_that_is_gone_is_seen() -> None:
    (words,) = commands("```text\n$ cohorts query --patient 3 \\\n    --nearest 5 | head\n```\n")
    assert words == ["query", "--patient", "3", "--nearest", "5"]
    with pytest.raises(UsageError, match="--nearest"):
        parse(words)
