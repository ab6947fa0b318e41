"""The options of commands: one that takes one value is given once, and brackets in what help says are no markup."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import typer
from cohorts.errors import InputError
from typer.core import TyperCommand, TyperOption

_TAG = re.compile(r"\[(?=[a-z#/@][^\[]*?\])")  # what rich takes for a style, and leaves out


class _Command(TyperCommand):
    """A command that refuses an option given twice: the parser would take the last value in silence."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        told: list[Any] = [self, *self.params]
        for one in told:
            if one.help:
                one.help = _TAG.sub(r"\\[", one.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises InputError."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag):
                raise InputError(
                    f"{' / '.join(option.opts)} was given {times} times; it takes one value. Leave all but one out."
                )
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A group of such commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(no_args_is_help=True, pretty_exceptions_enable=False, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Return the decorator that makes a function a command."""
        return super().command(name, cls=_Command, **settings)
