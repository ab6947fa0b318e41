"""Saved cohorts and how two of them differ: tables, JSON or CSV."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from cohorts.analysis.saved.cohort import Cohort
from cohorts.analysis.saved.difference import Difference
from cohorts.commands.output import log
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, show, two_columns
from cohorts.plain_text import csv_cell, json_text
from cohorts.saved_cohorts import SavedCohort, SavedExample, SavedQuestion

SHOWN = 20  # patients in the terminal; --format json has all


def show_list(cohorts: Sequence[tuple[Cohort, str]], collection: str, output: str) -> None:
    """Print cohorts, each with what became of its collection since."""
    rows = [
        {
            "cohort": cohort.name,
            "patients": len(cohort),
            "made by": asked_by(cohort.about.question),
            "search": "exact" if cohort.about.exact else cohort.about.index,
            "made": cohort.about.made,
            "state": state or "as it was",
        }
        for cohort, state in cohorts
    ]
    if output == "json":
        print_json(
            [{**row, "synthetic": one.about.synthetic} for row, (one, _) in zip(rows, cohorts, strict=True)]
        )
    elif output == "csv":
        print_csv(
            ("cohort", "patients", "made by", "search", "made", "state"), (row.values() for row in rows)
        )
    elif not rows:
        log.say("note", f"No cohort of {collection} is saved.")
    else:
        table = PlainTable(SYNTHETIC if any(one.about.synthetic for one, _ in cohorts) else "")
        for name in rows[0]:
            table.add_column(name, justify="right" if name == "patients" else "left")
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row.values()))
        show(table)


def show_cohort(cohort: Cohort, state: str, output: str) -> None:
    """Print a cohort: how it was made, and its patients."""
    saved = cohort.about
    scores: Sequence[float | None] = saved.scores or [None] * len(saved.units)
    rows = list(zip(saved.units, saved.patients, scores, strict=True))
    if output == "json":
        members = [{"unit": unit, "patient": patient, "score": score} for unit, patient, score in rows]
        print_json({**_about(saved, state), "patients": len(cohort), "members": members})
        return
    if output == "csv":
        print_csv(("unit", "patient", "score"), rows)
        return
    table = two_columns(f"cohort {saved.name}{chr(10) + SYNTHETIC if saved.synthetic else ''}")
    for name, value in _about(saved, state).items():
        if name not in ("cohort", "synthetic") and value:
            table.add_row(name, str(value))
    table.add_row("patients", f"{len(cohort):,}")
    members_table = PlainTable()
    for name in ("unit", "patient", "similarity"):
        members_table.add_column(name, justify="right")
    for unit, patient, score in rows[:SHOWN]:
        members_table.add_row(unit, patient, "" if score is None else f"{score:.4f}")
    show(table, members_table)
    if len(rows) > SHOWN:
        log.say("note", f"{SHOWN} of {len(rows):,} are shown; --format json has all.")


def show_difference(found: Difference, output: str, *, refreshed: bool = False) -> None:
    """Print how two cohorts differ, or, `refreshed`, how one does from what it was."""
    words = ("stayed", "went", "came") if refreshed else ("both", f"only {found.a}", f"only {found.b}")
    lists = dict(zip(words, (found.both, found.only_a, found.only_b), strict=True))
    every = sum(map(len, lists.values()))
    if output == "json":
        print_json({**{name: list(ids) for name, ids in lists.items()}, "overlap": round(found.overlap, 4)})
        return
    if output == "csv":
        print_csv(("patient", "in"), ((one, name) for name, ids in lists.items() for one in ids))
        return
    table = two_columns("")
    for name, ids in lists.items():
        more = f", … ({len(ids) - SHOWN:,} more)" if len(ids) > SHOWN else ""
        listed = "" if name == words[0] else f": {', '.join(ids[:SHOWN])}{more}" if ids else ""
        table.add_row(name, f"{len(ids):,}{listed}")
    table.add_row("overlap", f"{found.overlap:.0%} of the {every:,} patients of either")
    show(table)


def asked_by(question: SavedQuestion) -> str:
    """Say in a few words how a cohort was made; no text or id of the question is quoted, but for its filter."""
    match question.kind:
        case "filter":
            return f"filter {question.where}"
        case "ids":
            return f"{len(question.ids):,} ids"
        case "phenotype":
            return f"phenotype {question.phenotype}"
    many = Counter(one.kind for one in question.examples if not one.unlike)
    kinds = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in many.items())
    among = f" among {question.where}" if question.where else ""
    return f"{question.k} nearest to {kinds or 'nobody'}{among}"


def _about(saved: SavedCohort, state: str) -> dict[str, Any]:
    return {
        "cohort": saved.name,
        "collection": saved.collection,
        "synthetic": saved.synthetic,
        "made": saved.made,
        "made by": asked_by(saved.question),
        "examples": "; ".join(map(_example, saved.question.examples)),
        "search": saved.question.search,
        "engine": saved.engine,
        "index": saved.index,
        "exact": saved.exact,
        "encoder": saved.encoder or "made by others",
        "records seen": saved.as_of,
        "unit": saved.unit,
        "state": state or "the same encoder made the collection's vectors",
    }


def _example(one: SavedExample) -> str:
    sign = "unlike " if one.unlike else ""
    what = one.value or (f"a text of {one.characters:,} characters, not kept" if one.sha256 else "a vector")
    weight = f" (weight {one.weight:g})" if one.weight != 1 else ""
    return f"{sign}{one.kind} {what}{weight}"


def print_json(value: Any) -> None:
    """Print JSON to stdout."""
    print(json_text(value, indent=2))  # noqa: T201 - this is the output


def print_csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print CSV to stdout, in which no cell is a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
