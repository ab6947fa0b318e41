"""A table in the terminal, in which text is text: no markup, no emoji, no control character."""

import re
from typing import Any

from cohorts.plain_text import printable
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_NO_LIMIT = 100_000  # characters

SYNTHETIC = "synthetic data: invented patients, no clinical meaning"


class PlainTable(Table):
    """A table whose title, headings and cells are taken as they are; a cell may be a `Text` of its own style."""

    def __init__(self, title: str = "", **settings: Any) -> None:
        shown = plain(title, "table.title") if title else None
        super().__init__(title=shown, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, **settings)

    def add_column(self, header: Any = "", *arguments: Any, **settings: Any) -> None:
        """Add a column, as `rich` does."""
        super().add_column(plain(header), *arguments, **settings)

    def add_row(self, *cells: Any, **settings: Any) -> None:
        """Add a row of texts, as `rich` does."""
        super().add_row(*map(plain, cells), **settings)

    def fit(self, room: int) -> int:
        """Give every column its longest word or, where it does not wrap, its longest line; return the table's width.

        What is left of `room` goes to the columns that wrap, the first ones first.
        """
        lines = [_longest("\n", column) for column in self.columns]
        for column, line in zip(self.columns, lines, strict=True):
            column.width = line if column.no_wrap else _longest("[ \n]", column)
        width = Console(width=_NO_LIMIT).measure(self).maximum
        for column, line in zip(self.columns, lines, strict=True):
            more = max(0, min(room - width, line - (column.width or 0)))
            column.width, width = (column.width or 0) + more, width + more
        return width


def show(*tables: PlainTable) -> None:
    """Print tables to stdout with no word cut; a table that is too wide for the terminal is wrapped by that."""
    for table in tables:
        room = Console().width
        Console(width=max(room, table.fit(room))).print(table)


def _longest(apart: str, column: Column) -> int:
    cells = "\n".join(map(str, column.cells))
    return max(map(cell_len, (*str(column.header).split("\n"), *re.split(apart, cells))))


def plain(text: str | Text, style: str = "") -> Text:
    """Return a text in which nothing is markup."""
    return text if isinstance(text, Text) else Text(printable(text, lines=True), style=style)


def two_columns(title: str) -> PlainTable:
    """Return a table of names and values, without headings."""
    table = PlainTable(title, show_header=False)
    table.add_column()
    table.add_column()
    return table
