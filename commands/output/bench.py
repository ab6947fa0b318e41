"""An experiment in the terminal: the tables of its page that fit 80 columns, the best of a column marked."""

from collections.abc import Sequence

from cohorts.commands.output.plain_table import PlainTable, plain, show
from cohorts.harness.bench.report import tables as views
from cohorts.harness.bench.report.equal_recall import AtRecall
from cohorts.harness.bench.report.page import SYNTHETIC, headline
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import Entry, Line, View
from cohorts.plain_text import printable
from rich.console import Console
from rich.text import Text

_ALONE = ("recall@", "p50", "p99,", "most")  # the page has the other columns too
_EQUAL = ("p50",)
_BUILT = ("indexed", "build", "RssAnon", "disk")


def show_bench(summary: Summary, equal: Sequence[AtRecall]) -> None:
    """Print what each setting and build costs, and what at equal recall, to stdout."""
    Console().print(plain(headline(summary)))
    for k in summary.experiment.k:
        for view, columns in ((views.equal(equal, k), _EQUAL), (views.alone(summary, k), _ALONE)):
            show(_table(view, columns, synthetic=summary.facts.synthetic))
    show(_table(views.built(summary), _BUILT, synthetic=summary.facts.synthetic))


def _table(view: View, wanted: tuple[str, ...], *, synthetic: bool) -> PlainTable:
    title = f"{view.title}\n{SYNTHETIC}" if synthetic else view.title
    table = PlainTable(title, collapse_padding=True)
    table.add_column(", ".join(view.names))
    kept = [place for place, column in enumerate(view.columns) if column.startswith(wanted)]
    for place in kept:
        table.add_column(view.columns[place].replace(", ", "\n"), justify="right")
    for line in view.lines:
        names = "\n".join(line.names)
        table.add_row(names, *_cells(line, kept), style="dim" if line.reference else None)
    return table


def _cells(line: Line, kept: Sequence[int]) -> list[Text]:
    if line.fault:
        return [Text(printable(f"FAULT {line.fault}"), style="bold red", justify="left")]
    return [_cell(line.entries[place]) for place in kept]


def _cell(entry: Entry) -> Text:
    shown = plain(entry.text, "bold green" if entry.best else "")
    return shown.append(f"\n{entry.small}", style="dim not bold") if entry.small else shown
