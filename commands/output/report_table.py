"""A table of a report in the terminal: the columns that have a short title, the best of each marked."""

from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, plain
from cohorts.reports.long_table import Cell, Line, ReportTable
from rich.text import Text


def report_table(made: ReportTable, *, synthetic: str | bool = False, stacked: bool = False) -> PlainTable:
    """Return a table to be shown; `synthetic` puts the warning, or this text, below its title.

    The names of a row stand in a column each or, `stacked`, below each other in one.
    """
    warning = SYNTHETIC if synthetic is True else synthetic
    table = PlainTable(f"{made.title}\n{warning}" if warning else made.title, collapse_padding=True)
    for title in [", ".join(made.names)] if stacked else made.names:
        table.add_column(title)
    kept = [place for place, column in enumerate(made.columns) if column.short is not None]
    for place in kept:
        table.add_column(made.columns[place].short, justify="right", no_wrap=not stacked)
    for line in made.lines:
        names = ["\n".join(line.names)] if stacked else line.names
        table.add_row(*names, *_cells(made, line, kept), style="dim" if line.quiet else None)
    return table


def _cells(made: ReportTable, line: Line, kept: list[int]) -> list[Text]:
    if line.fault:
        return [plain(f"{made.fault_word} {line.fault}", "bold red")]
    return [_cell(line.cells[place]) for place in kept]


def _cell(cell: Cell) -> Text:
    shown = plain(cell.text, "bold green" if cell.best else "")
    return shown.append(f"\n{cell.small}", style="dim not bold") if cell.small else shown
