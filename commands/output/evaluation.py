"""Tables of an evaluation, and what an encoder says of itself."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from cohorts.commands.output import log
from cohorts.commands.output.plain_table import PlainTable, plain, show
from cohorts.commands.output.report_table import report_table
from cohorts.commands.output.tables import SYNTHETIC
from cohorts.encoders.fineehr.training import ANY
from cohorts.harness.evaluate.base import Run, Task, write_report
from cohorts.harness.evaluate.retrieval import report
from cohorts.harness.evaluate.retrieval.evaluation import EXACT
from rich.console import Console

_BAR_CELLS = 30
_BEST = 5  # ways to rank, by cohort


def tell_evaluation(folder: Path, task: Task[Any], run: Run) -> None:
    """Write the report of an evaluation, print its tables to stdout, and tell of what else there is to know."""
    told = task.told(run)
    page = write_report(folder, task, run, told)
    for made in chain(*told.tables.values()):
        if any(column.short is not None for column in made.columns):
            show(report_table(made, synthetic=run.manifest["synthetic"], stacked=len(made.names) > 1))
    for warning in told.warnings:
        log.say("warning", warning)
    files = ", ".join(str(folder / f"{name}.csv") for name in task.sheets)
    log.say("note", f"Report: {page}; every measurement: {files}.")


def show_quality(made: report.Tables, *, synthetic: bool) -> None:
    """Print the ways that rank best, a table for each cohort, and what the indexes find, to stdout."""
    about = f"{report.views(made)[0]}, searched exactly: the {_BEST} best ways, mean [95 % interval]"
    Console().print(plain(f"{about}\n", "table.title"))
    for cohort in made.frames["cohorts"].to_dict("records"):
        show(_best_ways(made, cohort, synthetic))
    first = report.lines(made, report.views(made)[0])
    through = [line for line in first if line.route != EXACT]
    if through:
        show(_through_indexes(through))
    if len(left_out := made.frames["not_measured"]):
        show(_not_measured(left_out.to_dict("records")))


def _best_ways(made: report.Tables, cohort: Mapping[Any, Any], synthetic: bool) -> PlainTable:
    """Return the best of the first view, searched exactly, and what becomes of them in the other views."""
    (view, *others), name = report.views(made), cohort["cohort"]
    exact = [line for line in report.lines(made, view, name) if line.route == EXACT]
    few = " (too few to conclude)" if cohort["questions"] < report.ENOUGH else ""
    table = _table(
        f"{name.replace('_', ' ')}: {cohort['questions']:,} questions{few}, {cohort['matches']:,.0f} matches for one, "
        f"base rate {cohort['base_rate']:.4f}",
        synthetic,
    )
    title = report.MEASURES["precision"].format(k=made.k)
    measures = ("lift",) if others else ("lift", "capped_recall", "ndcg")
    table.add_column(f"{title} [95 % interval]", no_wrap=True)
    for measure in measures:
        table.add_column(report.MEASURES[measure].format(k=made.k), justify="right", no_wrap=True)
    for other in others:
        heading = f"{title} {other.removeprefix('codes and ')}".replace(" ", "\n")
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ranked by", no_wrap=True)
    elsewhere = [
        {(line.encoder, line.route): line for line in report.lines(made, one, name)} for one in others
    ]
    for line in sorted(exact, key=lambda line: -line.cells["precision"][0])[:_BEST]:
        mean, low, high = line.cells["precision"]
        seen = [one.get((line.encoder, line.route)) for one in elsewhere]
        table.add_row(
            f"{mean:.3f} [{low:.3f}, {high:.3f}]",
            *(_figure(measure, line.cells[measure][0]) for measure in measures),
            *(_figure("precision", one.cells["precision"][0]) if one else "" for one in seen),
            line.encoder,
        )
    return table


def _not_measured(rows: Sequence[Mapping[Any, Any]]) -> PlainTable:
    table = _table("not measured", synthetic=False)
    for heading in ("encoder", "seen", "why"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["encoder"], row["view"], row["reason"])
    return table


def _figure(measure: str, mean: float) -> str:
    return "" if mean != mean else f"{mean:.1f}" if measure == "lift" else f"{mean:.3f}"


def _through_indexes(lines: Sequence[report.Line]) -> PlainTable:
    """Return, for every index, the least and the most that it finds of the neighbours, over what is searched."""
    table = _table(
        "neighbours found through indexes, from the encoder that loses most to the one that loses least",
        False,
    )
    for heading in ("least", "most"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("index", no_wrap=True)
    for route in dict.fromkeys(line.route for line in lines):
        found = [line.cells["neighbour_recall"][0] for line in lines if line.route == route]
        table.add_row(f"{min(found):.3f}", f"{max(found):.3f}", route)
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
    return f"{trace['units']:,} units, epoch {kept} kept of {len(losses) - 1}; loss on those held back {told}"


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
