"""Options given twice, and what help says, for every option of every command."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from cohorts import cli
from cohorts.connectors.addresses import parse_server
from cohorts.connectors.index import parse_index, parse_search
from cohorts.encoders.registry import make_encoder
from cohorts.errors import InputError
from command_line import ok, refused
from typer.core import TyperOption


def commands(group: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its name, those of groups too."""
    group = group or typer.main.get_command(cli.app)
    for key, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{key} ")
        else:
            yield f"{name}{key}", command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_of_one_value_given_twice_is_an_error(name: str) -> None:
    options = [one for one in COMMANDS[name].params if isinstance(one, TyperOption) and not one.is_flag]
    for option in options:
        told = option.opts[0]
        if option.multiple:
            assert "Repeatable." in (option.help or "")
        else:
            assert f"{told} was given 2 times" in refused(f"{name} {told} 1 {told}=2")


def test_every_command_is_looked_at() -> None:
    assert len(COMMANDS) > 20
    assert "evaluate retrieval" in COMMANDS


def test_every_command_that_reads_a_source_can_be_told_how_its_dates_are_written() -> None:
    options = {
        name: {option for one in command.params for option in one.opts} for name, command in COMMANDS.items()
    }
    reading = {name for name, taken in options.items() if "--source" in taken}
    assert len(reading) > 6
    assert {name for name in reading if "--dates" not in options[name]} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loses_nothing_in_brackets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    shown = re.sub(r"[\s│╭╮╰╯─]+", "", ok(f"{name} --help"))
    for option in COMMANDS[name].params:
        for words in re.findall(r"\[.*?\]", (option.help or "").replace("\\[", "[")):
            assert words.replace(" ", "") in shown


def test_a_setting_given_twice_is_an_error() -> None:
    for read, text in (
        (make_encoder, "word2vec:dim=8,epochs=1,dim=16"),
        (make_encoder, "bert:clinicalbert,model=biobert"),
        (parse_index, "hnsw:m=8,m=16"),
        (parse_search, "ef_search=8, ef_search=16"),
        (parse_server, "qdrant+http://h?timeout_s=5&timeout_s=6"),
    ):
        with pytest.raises(InputError, match="twice"):
            read(text)
    columns = shlex.quote("id=a,text=b,id=c")
    assert "twice" in refused(f"fit --source notes-csv --path n.csv --out o --columns {columns}")
