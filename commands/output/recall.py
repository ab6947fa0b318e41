"""Recall: tables of an audit, of the steps of a tuning and of indexes that were tried, and the command for the best."""

import shlex
from collections.abc import Sequence

from cohorts.commands.output import log
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, show
from cohorts.connectors.index import index_to_json, show_index, show_search
from cohorts.harness.live.audit import Audit, Row
from cohorts.harness.live.queries import OWN, PERTURBED, TEXTS, VECTORS
from cohorts.harness.live.tune import AS_FAST, Built, Step, Tuned, winner

_PLACES = {OWN: "for", PERTURBED: "near", VECTORS: "for rows (from 0)", TEXTS: "for lines"}


def show_audit(found: Audit, name: str) -> None:
    """Print recall and latency by queries and filter to stdout, and to stderr what they are and what answers them."""
    rows = found.rows
    synthetic = bool(found.description.collection.metadata.get("synthetic"))
    recall = _table(f"collection {name}", synthetic=synthetic)
    latency = _table("neighbours, and latency in ms")
    _add_columns(recall, "queries", "filter", "points", "share", f"recall@{found.k}", "95 % interval", "p5")
    _add_columns(latency, "queries", "filter", "asked", "got", "p50", "p95", "exact p50", "exact p95")
    for row in rows:
        what = (row.kind, row.where or "none")
        interval = f"{row.recall_low:.4f}–{row.recall_high:.4f}"
        passing = (f"{row.count:,}", f"{100 * row.share:.3g} %")
        measured = (f"{row.recall:.4f}", interval, f"{row.recall_p5:.2f}")
        recall.add_row(*what, *passing, *measured)
        exact = [
            "one scan" if value != value else f"{value:.2f}" for value in (row.exact_p50_ms, row.exact_p95_ms)
        ]
        neighbours = (f"{row.asked:,}", f"{row.got:,}")
        latency.add_row(*what, *neighbours, f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}", *exact)
    show(recall)
    show(latency)
    for kind, about in found.asked_with.items():
        log.say("note", f"Queries {kind}: {about}.")
    log.say("note", f"Answers come from: {found.line}.")
    log.say("note", f"True neighbours come from: {found.truth}.")
    if found.drawn_from < found.description.count:
        log.say(
            "note", f"Queries were drawn from the first {found.drawn_from:,} points in the engine's order."
        )
    for row in rows:
        _tell_more(row)
    if found.warning:
        log.say("note", f"Note: {found.warning}.")


def show_steps(tuned: Tuned) -> None:
    """Print the parameters that were tried to stdout, in that order."""
    table = _table(f"tried for recall@{tuned.k} {tuned.target:g}")
    _add_columns(table, "parameter", *_measures(tuned.k))
    table.add_column("", no_wrap=True)
    for step in tuned.steps:
        mark = "" if step is not tuned.choice else "← chosen" if tuned.reached else "← best"
        table.add_row(show_search(step.params), *_measured(step), mark)
    show(table)


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
    show(table)


def _tell_more(row: Row) -> None:
    head = f"Queries {row.kind}, " + (f"filter {row.where}" if row.where else "no filter")
    if row.worst:
        log.say("note", f"{head}: least recall {_PLACES[row.kind]} {', '.join(row.worst)}.")
    if row.short:
        log.say(
            "note", f"{head}: {row.short:,} of {row.queries:,} answers hold fewer neighbours than there are."
        )
    for note in row.notes:
        log.say("note", f"{head}: {note}.")


def _add_columns(table: PlainTable, *columns: str) -> None:
    for column in columns:
        if column in ("filter", "index", "parameter"):
            table.add_column(column)
        elif column == "queries":
            table.add_column(column, no_wrap=True)
        else:
            table.add_column(column, justify="right", no_wrap=True)


def _measures(k: int) -> tuple[str, str, str]:
    return f"recall@{k}", "95 % interval", "p50 ms"


def _measured(step: Step) -> tuple[str, str, str]:
    return f"{step.recall:.4f}", f"{step.low:.4f}–{step.high:.4f}", f"{step.p50_ms:.2f}"


def _table(title: str, *, synthetic: bool = False) -> PlainTable:
    if synthetic:
        title = f"{title}\n{SYNTHETIC}"
    return PlainTable(title, collapse_padding=True)


def advice(store: str, name: str, built: Sequence[Built]) -> str:
    """Return the command that builds the winner for the whole collection, and what to know of it."""
    best = winner(built)
    if best is None:
        return f"None of these indexes reaches {built[0].tuned.target:g} with confidence."
    settings = {key: value for key, value in index_to_json(best.index).items() if value != "none"}
    kind = settings.pop("kind")
    index = ",".join(f"{key}={value}" for key, value in settings.items())
    return (
        f"The smallest of them that is nearly as fast as the fastest (up to {AS_FAST:g} times as slow):\n"
        f"  cohorts reindex --store {shlex.quote(store)} --collection {shlex.quote(name)} --index {kind}:{index} "
        f"--search {show_search(best.tuned.choice.params)}\n"
        f"It was measured on {best.rows:,} vectors: tune the whole collection again afterwards."
    )
