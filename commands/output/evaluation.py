"""Tables of an evaluation, and what an encoder says of itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from cohorts.commands.output import log
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, plain, show
from cohorts.commands.output.report_table import report_table
from cohorts.encoders.fineehr.training import ANY
from cohorts.harness.evaluate.base import Run, Task, Told, write_report
from cohorts.harness.evaluate.retrieval import tables
from cohorts.harness.evaluate.retrieval.rankings import EXACT
from cohorts.reports.long_table import Record, records
from rich.console import Console

_BAR_CELLS = 30
_BEST = 5  # ways to rank, by cohort


def tell_evaluation(folder: Path, task: Task[Any], run: Run) -> None:
    """Write the report of an evaluation, print its tables to stdout, and tell of what else there is to know."""
    files = ", ".join(str(folder / f"{name}.csv") for name in task.sheets)
    _tell(folder, task, run, _show_tables, f"every measurement: {files}")


def tell_quality(folder: Path, task: Task[Any], run: Run) -> None:
    """Write the report of a retrieval evaluation, print the best ways, and tell of what flatters them."""
    files = f"all ways, views, indexes and k: {folder}/figures.csv; who was found: {folder}/rankings"
    _tell(folder, task, run, lambda told, synthetic: show_quality(told.drawn["made"], synthetic), files)


def _tell(
    folder: Path, task: Task[Any], run: Run, show_figures: Callable[[Told, bool], None], files: str
) -> None:
    told = task.told(run)
    page = write_report(folder, task, run, told)
    show_figures(told, run.manifest["synthetic"])
    if told_of := run.manifest.get("as_of"):
        log.say("note", f"Records seen: {told_of}.")
    for warning in told.warnings:
        log.say("warning", warning)
    for note in told.notes:
        log.say("note", note)
    log.say("note", f"Report: {page}; {files}.")


def _show_tables(told: Told, synthetic: bool) -> None:
    for made in chain(*told.tables.values()):
        if any(column.short is not None for column in made.columns):
            show(report_table(made, synthetic=synthetic, stacked=len(made.names) > 1))


def show_quality(made: tables.Tables, synthetic: bool) -> None:
    """Print the ways that rank best, a table for each cohort, and what the indexes find, to stdout."""
    about = f"{made.views[0]}, searched exactly: the {_BEST} best ways, mean [95 % interval]"
    Console().print(plain(f"{about}\n", "table.title"))
    for cohort in records(made.frames["cohorts"]):
        show(_best_ways(made, cohort, synthetic))
    through = [one for one in made.drawn(route=None, measure="neighbour_recall") if one["route"] != EXACT]
    if through:
        show(_through_indexes(through))
    if len(left_out := made.frames["not_measured"]):
        show(_not_measured(records(left_out)))


def _best_ways(made: tables.Tables, cohort: Record, synthetic: bool) -> PlainTable:
    """Return the best of the first view, searched exactly, and what becomes of them in the other views."""
    name, others = cohort["cohort"], made.views[1:]
    few = " (too few to conclude)" if cohort["questions"] < tables.ENOUGH else ""
    table = _table(
        f"{name.replace('_', ' ')}: {cohort['questions']:,} questions{few}, {cohort['matches']:,.0f} matches for one, "
        f"base rate {cohort['base_rate']:.4f}",
        synthetic,
    )
    title = tables.MEASURES["precision"].format(k=made.k)
    measures = ("lift",) if others else ("lift", "capped_recall", "ndcg")
    table.add_column(f"{title} [95 % interval]", no_wrap=True)
    for measure in measures:
        table.add_column(tables.MEASURES[measure].format(k=made.k), justify="right", no_wrap=True)
    for other in others:
        heading = f"{title} {other.removeprefix('codes and ')}".replace(" ", "\n")
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ranked by", no_wrap=True)
    found = {(one["view"], one["encoder"], one["measure"]): one for one in made.drawn(view=None, cohort=name)}
    precision = made.drawn(cohort=name, measure="precision")
    for best in sorted(precision, key=lambda one: -one["value"])[:_BEST]:
        encoder, low, high = best["encoder"], best["low"], best["high"]
        shown = [(made.views[0], encoder, measure) for measure in measures]
        shown += [(other, encoder, "precision") for other in others]
        cells = (_figure(found[one]) if one in found else "" for one in shown)
        table.add_row(f"{best['value']:.3f} [{low:.3f}, {high:.3f}]", *cells, encoder)
    return table


def _not_measured(rows: Sequence[Record]) -> PlainTable:
    table = _table("not measured", synthetic=False)
    for heading in ("encoder", "seen", "why"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["encoder"], row["view"], row["reason"])
    return table


def _figure(cell: Record) -> str:
    mean = cell["value"]
    return "" if mean != mean else f"{mean:.1f}" if cell["measure"] == "lift" else f"{mean:.3f}"


def _through_indexes(found: Sequence[Record]) -> PlainTable:
    """Return, for every index, the least and the most that it finds of the neighbours, over what is searched."""
    table = _table(
        "neighbours found through indexes, from the encoder that loses most to the one that loses least",
        False,
    )
    for heading in ("least", "most"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("index", no_wrap=True)
    for route in dict.fromkeys(one["route"] for one in found):
        means = [one["value"] for one in found if one["route"] == route]
        table.add_row(f"{min(means):.3f}", f"{max(means):.3f}", route)
    return table


def show_encoder(facts: Mapping[str, Any]) -> None:
    """Print an encoder's settings, learnt weights and training to stdout."""
    table = PlainTable(f"encoder {facts['name']}", show_header=False)
    for key in (
        "fingerprint",
        "dim",
        "vocabulary",
        "columns",
        "checkpoint",
    ):  # from the third on, if it has them
        if key in facts:
            table.add_row(key, f"{facts[key]:,}" if isinstance(facts[key], int) else facts[key])
    for row in _of_sepsis(facts):
        table.add_row(*row)
    settings = ", ".join(f"{key}={value}" for key, value in facts["settings"].items())
    table.add_row("settings", settings)  # which may name a path
    if facts.get("withheld"):
        where = "codes and mentions in notes" if facts["withheld_text"] else "codes"
        table.add_row("withheld", f"{where} of {', '.join(facts['withheld'])}")
    if facts.get("unimproved"):
        table.add_row("training", facts["unimproved"])
    if facts.get("epochs"):
        table.add_row("training", _epochs(facts["epochs"]))
    show(table)
    if facts.get("weights"):
        _show_weights(facts["weights"])
    if facts.get("training"):
        _show_training(facts["training"])


def _epochs(trace: Mapping[str, Any]) -> str:
    losses, kept = trace["validation_loss"], trace["kept_epoch"]
    told = " → ".join(f"{losses[place]:.4f}" for place in (0, kept, -1))
    many = f"{trace['units']:,} units" if "units" in trace else f"{trace['stays']:,} stays"
    return f"{many}, epoch {kept} kept of {len(losses) - 1}; loss on those held back {told}"


def _of_sepsis(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the encoder sepsis alone tells: when it sees a stay, what it reads of it, and how risks are made."""
    if "as_of" in facts:
        yield "as of", facts["as_of"]
    for name, columns in (
        ("static", facts.get("static", {}).get("names")),
        ("series", facts.get("series")),
    ):
        if columns:
            yield f"{name} columns", f"{len(columns):,}: {', '.join(columns)}"
    if made := facts.get("recalibration"):
        told = f"intercept {made['intercept']:+.3f}, slope {made['slope']:.3f}"
        yield "risks", f"{told}, by {made['stays']:,} stays with {made['deaths']:,} deaths: {made['origin']}"
    if facts.get("synthetic"):
        yield "trained on", SYNTHETIC


def _show_weights(weights: Mapping[str, float]) -> None:
    table = _table("learnt weight of each category of notes", synthetic=False)
    for name, justify in (("category", "left"), ("weight", "right"), ("", "left")):
        table.add_column(name, justify=justify)
    for category, weight in weights.items():
        table.add_row(
            category,
            f"{weight:.3f}",
            "█" * max(1, round(_BAR_CELLS * weight / max(weights.values()))),
        )
    show(table)


def _show_training(training: Mapping[str, Mapping[str, Any]]) -> None:
    table = _table("training of the networks: start → step kept → end", synthetic=False)
    table.add_column("category")
    for name in ("notes", "step kept", "of", "validation loss", "effective rank"):
        table.add_column(name, justify="right")
    for category, trace in training.items():
        checks = (0, trace["steps"].index(trace["kept_step"]), -1)
        table.add_row(
            "any other" if category == ANY else category,
            f"{trace['notes']:,}",
            str(trace["kept_step"]),
            str(trace["steps"][-1]),
            " → ".join(f"{trace['validation_loss'][at]:.3f}" for at in checks),
            " → ".join(f"{trace['effective_rank'][at]:.0f}" for at in checks),
        )
    show(table)


def _table(title: str, synthetic: bool) -> PlainTable:
    if synthetic:
        title = f"{title}\n{SYNTHETIC}"
    return PlainTable(title, collapse_padding=True)
