"""What `--help` shows: options in panels, and every word of what is said of them, in a narrow terminal too."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from cohorts.cli import app
from cohorts.commands.typer_app import PANELS
from command_line import ok
from typer.core import TyperOption


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for key, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{key} ")
        else:
            yield f"{name}{key}", command


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_told_of_in_full(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = set(ok(f"{name} --help").split())
    for option in COMMANDS[name].params:
        assert set((option.help or "").replace("\\[", "[").split()) <= shown, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_a_panel_and_panels_have_one_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wanted = {one.rich_help_panel for one in COMMANDS[name].params if isinstance(one, TyperOption)} | {"Run"}
    lines = ok(f"{name} --help").splitlines()
    panels = [line.split()[1] for line in lines if line.startswith("╭─")]
    assert [panel for panel in panels if panel != "Arguments"] == [one for one in PANELS if one in wanted]


def test_commands_stand_in_panels() -> None:
    panels = {getattr(command, "rich_help_panel", None) for command in ROOT.commands.values()}
    assert panels == {"Load", "Encoders", "Query", "Collections", "Cohorts", "Measure", "Set up"}


def test_flags_show_no_type() -> None:
    told = ok("ingest --help")
    assert "--dry-run" in told
    assert "<bool>" not in told
