"""A table of a report in Markdown, in which text is text."""

import re
from collections.abc import Iterable
from html import escape

from cohorts.plain_text import printable
from cohorts.reports.long_table import Cell, ReportTable


def markdown(table: ReportTable) -> str:
    """Return a table under its title, the best of a column in bold."""
    width = len(table.columns)
    lines = [
        f"## {shown(table.title)}",
        "",
        _row(map(shown, (*table.names, *(one.title for one in table.columns)))),
    ]
    lines.append("|" + " --- |" * len(table.names) + " ---: |" * width)
    for line in table.lines:
        cells = [_cell(one) for one in line.cells]
        if line.fault:
            cells = [f"**{shown(table.fault_word)}: {shown(line.fault)}**", *[""] * (width - 1)]
        lines.append(_row((*map(shown, line.names), *cells)))
    return "\n".join(lines)


def fenced(text: str) -> str:
    """Return a block of code that no line of the text can end."""
    fence = "`" * max(3, *(len(one) + 1 for one in re.findall("`+", text)), 3)
    return f"{fence}console\n{text}\n{fence}"


def shown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line: no tag, no link, no image, no cell of a table."""
    flat = escape(printable(text), quote=False).replace("|", "/")
    return re.sub(r"[`*]|\](?=[(\[:])", r"\\\g<0>", flat)


def _cell(cell: Cell) -> str:
    text = shown(cell.text)
    return f"{f'**{text}**' if cell.best else text} {shown(cell.small)}".strip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
