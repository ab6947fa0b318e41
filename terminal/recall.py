"""Tables of recall: an audit of a collection, the steps of a tuning, and indexes that were tried."""

from collections.abc import Sequence

from cohorts.connectors.index import show_index, show_search
from cohorts.harness.bench.audit import Audit, Row
from cohorts.harness.bench.tune import Built, Step, Tuned
from cohorts.terminal import log
from cohorts.terminal.tables import SYNTHETIC
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show_audit(found: Audit, name: str) -> None:
    """Print recall and latency by filter to stdout, and to stderr what answers, the worst queries and the notes."""
    rows = found.rows
    synthetic = bool(found.description.collection.metadata.get("synthetic"))
    recall = _table(f"collection {name}, {rows[0].queries:,} of its points as queries", synthetic=synthetic)
    latency = _table("latency, ms")
    _add_columns(
        recall, "filter", "points", "share", f"recall@{found.k}", "95 % interval", "p5", "asked", "got"
    )
    _add_columns(latency, "filter", "p50", "p95", "exact p50", "exact p95")
    for row in rows:
        where = escape(row.where) or "none"
        interval = f"{row.recall_low:.4f}–{row.recall_high:.4f}"
        passing = (f"{row.count:,}", f"{100 * row.share:.3g} %")
        measured = (f"{row.recall:.4f}", interval, f"{row.recall_p5:.2f}")
        recall.add_row(where, *passing, *measured, f"{row.asked:,}", f"{row.got:,}")
        exact = [
            "one scan" if value != value else f"{value:.2f}" for value in (row.exact_p50_ms, row.exact_p95_ms)
        ]
        latency.add_row(where, f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}", *exact)
    Console().print(recall)
    Console().print(latency)
    log.say("note", f"Answers come from: {found.line}.")
    if found.drawn_from < found.description.count:
        log.say(
            "note", f"Queries were drawn from the first {found.drawn_from:,} points in the engine's order."
        )
    for row in rows:
        _tell_more(row)


def show_steps(tuned: Tuned) -> None:
    """Print the parameters that were tried to stdout, in that order."""
    table = _table(f"tried for recall@{tuned.k} {tuned.target:g}")
    _add_columns(table, "parameter", *_measures(tuned.k))
    table.add_column("", no_wrap=True)
    for step in tuned.steps:
        mark = "" if step is not tuned.choice else "← chosen" if tuned.reached else "← best"
        table.add_row(show_search(step.params), *_measured(step), mark)
    Console().print(table)


def show_built(built: Sequence[Built]) -> None:
    """Print the indexes that were tried on a sample to stdout, each with the best search parameter found for it."""
    target, k = built[0].tuned.target, built[0].tuned.k
    table = _table(
        f"indexes on {built[0].rows:,} sampled vectors, by rising memory; target recall@{k} {target:g}"
    )
    _add_columns(table, "index", "search", *_measures(k))
    for one in built:
        short = "" if one.tuned.reached else " (short)"
        table.add_row(
            show_index(one.index), show_search(one.tuned.choice.params) + short, *_measured(one.tuned.choice)
        )
    Console().print(table)


def _tell_more(row: Row) -> None:
    head = f"Filter {row.where}" if row.where else "No filter"
    if row.worst:
        log.say("note", f"{head}: least recall for the queries {', '.join(row.worst)}.")
    if row.short:
        log.say(
            "note", f"{head}: {row.short:,} of {row.queries:,} answers hold fewer neighbours than there are."
        )
    for note in row.notes:
        log.say("note", f"{head}: {note}.")


def _add_columns(table: Table, first: str, *columns: str) -> None:
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)


def _measures(k: int) -> tuple[str, str, str]:
    return f"recall@{k}", "95 % interval", "p50 ms"


def _measured(step: Step) -> tuple[str, str, str]:
    return f"{step.recall:.4f}", f"{step.low:.4f}–{step.high:.4f}", f"{step.p50_ms:.2f}"


def _table(title: str, *, synthetic: bool = False) -> Table:
    if synthetic:
        title = f"{title}\n{SYNTHETIC}"
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
