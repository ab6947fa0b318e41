"""Commands and groups on typer: options given once, values out of the configuration, and how help shows them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from cohorts.commands import configuration
from cohorts.errors import InputError
from typer.core import TyperCommand, TyperGroup, TyperOption

PANELS = ("Source", "Encoder", "Store", "Index", "Query", "Run")  # of options, in the order that help shows
_TAG = re.compile(r"\[(?=[a-z#/@][^\[]*?\])")  # what rich takes for a style, and leaves out


class _Option(TyperOption):
    """An option whose value hardly needs to be converted: a text, some texts, a path, its own default, or none.

    Typer loads pydantic for every value but a flag's, also for those: a fifth of a query's processor time. Of paths,
    our options ask no more than that what is there can be read.
    """

    def process_value(self, ctx: Any, value: Any) -> Any:
        """Return the value as the command takes it. Raises what typer raises of a wrong one."""
        wanted = getattr(self, "type_descriptor", None)  # typer before 0.29 has none, and loads no pydantic
        if wanted is None or (self.multiple and wanted.annotation != list[str]):
            return super().process_value(ctx, value)
        if self.multiple:
            return [*value] if value else self.default
        given = wanted.annotation if isinstance(value, str) else None
        is_default = not self.required and ctx.get_parameter_source(self.name).name == "DEFAULT"
        if given is Path and (os.access(value, os.R_OK) or not os.access(value, os.F_OK)):
            value = Path(value)
        elif given is not str and not is_default:
            return super().process_value(ctx, value)
        return value if self.callback is None else self.callback(ctx, self, value)


class _Command(TyperCommand):
    """A command that refuses an option given twice: the parser would take the last value in silence."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        told: list[Any] = [self, *self.params]
        for one in told:
            if one.help:
                one.help = _TAG.sub(r"\\[", one.help)
        self.params.sort(key=lambda one: _place(getattr(one, "rich_help_panel", None)))
        _make_ours(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`, which stands among the options of a run."""
        option: Any = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = PANELS[-1]
            _make_ours([option])
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises InputError."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag):
                raise InputError(
                    f"{' / '.join(option.opts)} was given {times} times; it takes one value. Leave all but one out."
                )
        if not ctx.resilient_parsing and self.get_help_option(ctx) not in given:
            ctx.default_map = configuration.from_file(self.params)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options."""
        params: list[Any] = super().get_params(ctx)
        _make_ours(params)
        return params


def _make_ours(params: Sequence[Any]) -> None:
    """Make options of typer ours, of whose flags help shows no type."""
    for option in params:
        if isinstance(option, TyperOption):
            option.__class__ = _Option
            if option.is_flag:
                option.metavar = ""


def _place(panel: str | None) -> int:
    """Return where a panel stands; what has none, as arguments, comes first."""
    return PANELS.index(panel) if panel else -1


class Commands(typer.Typer):
    """A group of such commands; in `cohorts --help` they stand in one panel."""

    def __init__(self, panel: str | None = None, **settings: Any) -> None:
        super().__init__(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False, **settings)
        self._panel = panel

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Return the decorator that makes a function a command."""
        return super().command(name, cls=_Command, rich_help_panel=self._panel, **settings)
