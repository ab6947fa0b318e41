"""A table in the terminal, in which text is text: no markup, no emoji, no control character."""

from typing import Any

from cohorts.plain_text import printable
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text


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


def plain(text: str | Text, style: str = "") -> Text:
    """Return a text in which nothing is markup."""
    return text if isinstance(text, Text) else Text(printable(text, lines=True), style=style)
