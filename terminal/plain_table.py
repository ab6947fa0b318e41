"""A table in the terminal, in which text is text: no markup, no emoji, no control character."""

from typing import Any

from cohorts.plain_text import printable
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NO_LIMIT = 100_000  # characters


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

    def keep_lines_whole(self) -> None:
        """Make every column that does not wrap as wide as its longest line."""
        for column in self.columns:
            if column.no_wrap:
                lines = (line for cell in (column.header, *column.cells) for line in str(cell).splitlines())
                column.min_width = max(map(cell_len, lines), default=0)


def show(*tables: PlainTable) -> None:
    """Print tables to stdout with no word cut; a table that is too wide for the terminal is wrapped by that."""
    for table in tables:
        table.keep_lines_whole()
        least = Console(width=_NO_LIMIT).measure(table).minimum
        Console(width=max(Console().width, least)).print(table)


def plain(text: str | Text, style: str = "") -> Text:
    """Return a text in which nothing is markup."""
    return text if isinstance(text, Text) else Text(printable(text, lines=True), style=style)
