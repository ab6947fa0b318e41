"""Risks of septic stays: as a table with reasons, as JSON, or as a CSV file of everybody."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cohorts.commands.output import log
from cohorts.commands.output.analysis.cohorts import print_csv, print_json
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, show
from cohorts.encoders.sepsis.encoder import Sepsis
from cohorts.encoders.sepsis.prediction import Prediction
from cohorts.encoders.sepsis.reasons import Reason
from cohorts.encoders.sepsis.recalibration import FEWEST
from cohorts.plain_text import csv_cell
from cohorts.private_files import replace_private

_COLUMNS = ("admission_id", "patient_id", "risk", "not_told", "reasons")
_NO_DEVICE = (
    "It is no medical device and gives no advice: docs/sepsis.md says what it is made for and what it is not."
)


def show_risks(found: Sequence[Prediction], model: Sepsis, output: str, *, synthetic: bool) -> None:
    """Print the risks of some stays to stdout, and what they are to stderr."""
    if output == "json":
        told = [{"admission_id": one.unit_id} | asdict(one) for one in found]
        print_json({"synthetic": synthetic, **about(model), "stays": [_less_unit(one) for one in told]})
    elif output == "csv":
        print_csv(_COLUMNS, map(_row, found))
    else:
        title = f"risk of death in hospital, as of {model.window}"
        show(_risks(found, f"{title}\n{SYNTHETIC}" if synthetic else title))
        show(*(_reasons(one) for one in found if one.reasons))
    _say(model)


def write_risks(found: Iterable[Prediction], file: Path) -> Counter[str]:
    """Write the risks of many stays as a CSV file that appears whole; return how many were told, and why others not."""
    counts: Counter[str] = Counter()
    with replace_private(file) as out:
        text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for one in found:
            counts[one.refused] += 1
            rows.writerow([csv_cell(cell) for cell in _row(one)])
        text.detach()
    return counts


def tell_left_out(counts: Counter[str], model: Sepsis, file: Path, *, synthetic: bool) -> None:
    """Print of how many stays a risk was told, and why not of others."""
    title = f"stays of the source, as of {model.window}"
    table = PlainTable(f"{title}\n{SYNTHETIC}" if synthetic else title)
    table.add_column("")
    table.add_column("stays", justify="right")
    table.add_row("risk told", f"{counts['']:,}")
    for why, many in sorted(counts.items(), key=lambda one: -one[1]):
        if why:
            table.add_row(f"not told: {why}", f"{many:,}")
    show(table)
    _say(model)
    log.say("note", f"Written: {file}.")


def about(model: Sepsis) -> dict[str, Any]:
    """Return what a risk is by: the model, its window, and how logits became probabilities."""
    return {
        "model": model.fingerprint,
        "trained_on_synthetic_stays": model.model.synthetic,
        "as_of": str(model.window),
        "calibrated": asdict(model.model.calibrated),
    }


def _say(model: Sepsis) -> None:
    made = model.model.calibrated
    log.say(
        "note",
        f"Risks are recalibrated on {made.stays:,} stays with {made.deaths:,} deaths: {made.origin}. {_NO_DEVICE}",
    )
    if min(made.deaths, made.stays - made.deaths) < FEWEST:
        log.say(
            "warning", f"So few deaths or survivors (below {FEWEST}) set no risk right: take it for a rank."
        )
    if model.model.synthetic:
        log.say("warning", "The model was trained on synthetic stays: its risks mean nothing for a patient.")


def _less_unit(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key != "unit_id"}


def _row(one: Prediction) -> tuple[str, str, str, str, str]:
    risk = "" if one.risk is None else f"{one.risk:.6f}"
    return one.unit_id, one.patient_id, risk, one.refused, "; ".join(map(_in_words, one.reasons))


def _in_words(one: Reason) -> str:
    value = "" if one.value is None else f" {one.value:.6g} {_unit(one)}".rstrip()
    when = "" if one.hours_before is None else f" {one.hours_before:.1f} h before"
    return f"{one.name}{value}{when}: {one.change:+.4f}"


def _unit(one: Reason) -> str:
    """Return the unit of a reason's value, "" where its name tells it, as of pH."""
    return "" if one.unit == one.name else one.unit


def _risks(found: Sequence[Prediction], title: str) -> PlainTable:
    table = PlainTable(title)
    table.add_column("admission", no_wrap=True)
    table.add_column("patient", no_wrap=True)
    table.add_column("risk", justify="right", no_wrap=True)
    table.add_column("not told because")
    for one in found:
        risk = "" if one.risk is None else f"{100 * one.risk:.1f} %"
        table.add_row(one.unit_id, one.patient_id, risk, one.refused)
    return table


def _reasons(one: Prediction) -> PlainTable:
    table = PlainTable(f"why, of admission {one.unit_id}")
    table.add_column("what")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("hours before", justify="right", no_wrap=True)
    table.add_column("adds to the risk", justify="right", no_wrap=True)
    for reason in one.reasons:
        table.add_row(
            reason.name.replace(":", ": "),
            "" if reason.value is None else f"{reason.value:.4g} {_unit(reason)}".rstrip(),
            "" if reason.hours_before is None else f"{reason.hours_before:.1f}",
            f"{100 * reason.change:+.1f} points",
        )
    return table
