"""Neighbours as a table, as JSON or as CSV."""

import csv
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from cohorts.analysis.words import Words
from cohorts.commands.output import log
from cohorts.commands.output.explanations import as_cells, check_explained, show_told, told_of, why
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable
from cohorts.connectors.base import Collection, Hit, Payload, PayloadValue
from cohorts.connectors.collection import EXTERNAL
from cohorts.connectors.index import show_index
from cohorts.connectors.patients import patient_field
from cohorts.loaders.points.reasons import codes_of
from cohorts.plain_text import csv_cell, json_text
from cohorts.search.neighbours import Neighbours
from rich.console import Console

if TYPE_CHECKING:
    from cohorts.analysis.evidence import Passage

ASKED, EXAMPLES = "like", 5  # the rank of those asked for, and how many a table shows; --format json has all
MAX_COLUMNS = 8  # of fields of others; --format json has them all


def show_neighbours(
    found: Neighbours,
    output: str,
    *,
    explain: bool = False,
    words: Sequence[Words] | None = None,
    evidence: "Sequence[Passage | None] | None" = None,
) -> None:
    """Print the neighbours to stdout as a table, as JSON or as CSV, behind who was asked for, and why they are alike.

    That is the codes they share with whom was asked for, what `words` of a text add to the score of each, and, as
    `evidence`, a passage of each one's notes, where they are given; with `explain`, why their vectors are as they are
    too. Raises InputError where that can't be told.
    """
    words = words if words and any(words) else None
    if explain:
        check_explained(found, words)
    collection = found.description.collection
    told = told_of(found, words, evidence, explain=explain)
    theirs = _is_theirs(collection)
    row_of = partial(_their_row, _their_names(collection, found.hits, told)) if theirs else _row
    rows = [row_of(collection, rank, hit) for rank, hit in enumerate(found.hits, start=1)]
    examples = [row_of(collection, ASKED, hit) for hit in found.examples]
    if output == "json":
        asked = codes_of(found.own)
        result = {
            "synthetic": found.synthetic,
            **({"as_of": found.as_of} if found.as_of else {}),
            "asked": found.asked,
            "got": len(rows),
            "per": "unit" if found.per_unit else "patient",
            "index": show_index(collection.index),
            "translation": found.translation,
            "notes": [note for note in (found.shortfall, *found.notes) if note],
            **({"asked_codes": asked} if asked else {}),
            **({"patient": [why(one) for one in found.own]} if explain else {}),
            **({"examples": [_without_rank(row) for row in examples]} if examples else {}),
            "neighbours": [{**row, **one} for row, one in zip(rows, told, strict=True)],
        }
        print(json_text(result, indent=2))  # noqa: T201 - this is the output
    elif output == "csv":
        seen = {"as_of": found.as_of} if found.as_of else {}
        lines = [{**row, **as_cells(one), **seen} for row, one in zip(rows, told, strict=True)]
        _write_csv(
            lines,
            list(dict.fromkeys(chain(*(lines or [{**row_of(collection, 0, Hit("", 0.0, {})), **seen}])))),
        )
    elif theirs:
        _show_their_table([*examples[:EXAMPLES], *rows], _title(found))
    else:
        _show_table([*examples[:EXAMPLES], *rows], _title(found))
    if output == "table":
        if more := len(examples[EXAMPLES:]):
            log.say(
                "note",
                f"Note: {more:,} more patients were asked by than the first {EXAMPLES} that are shown.",
            )
        show_told(found, told, evidence)
    if found.shortfall:
        log.say("note", f"{found.shortfall}.")
    for note in (found.translation, *found.notes):
        if note:
            log.say("note", f"Note: {note.removesuffix('.')}.")


def _title(found: Neighbours) -> str:
    """Return what stands over the table: whether the patients are invented, and what the vectors are of."""
    seen = f"records seen: {found.as_of}" if found.as_of else ""
    return "\n".join(line for line in (SYNTHETIC if found.synthetic else "", seen) if line)


def _write_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in rows)


def _without_rank(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "rank"}


def _row(collection: Collection, rank: int | str, hit: Hit) -> dict[str, Any]:
    payload = hit.payload
    return {
        "rank": rank,
        "patient": _patient(collection, hit),
        "admission": payload.get("admission_id"),
        "similarity": round(hit.score, 4),
        "age": payload.get("age"),
        "sex": payload.get("sex"),
        "diagnosis_code": payload.get("principal_code"),
        "diagnosis": payload.get("principal_title"),
        "outcome": _outcome(payload),
        **{key: value for key, value in payload.items() if key.startswith("label_")},
    }


def _is_theirs(collection: Collection) -> bool:
    """Tell whether vectors and payload came from others: attached, loaded ready, or a copy of such."""
    made_by = collection.metadata.get("encoder_fingerprint")
    return not made_by or collection.metadata.get("encoder") == EXTERNAL


def _their_names(
    collection: Collection, hits: Sequence[Hit], told: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Return the fields to show and their columns: those that are declared, and all that came along."""
    names = dict.fromkeys(chain(collection.fields, *(hit.payload for hit in hits)))
    taken = {"rank", "patient", "similarity", "unit", *(chain(*told))} - {"from_notes", "reasons"}
    return {
        name: f"payload_{name}" if name in taken else name
        for name in names
        if name != patient_field(collection)
    }


def _their_row(names: Mapping[str, str], collection: Collection, rank: int | str, hit: Hit) -> dict[str, Any]:
    unit = {} if patient_field(collection) is None else {"unit": hit.id}
    return {
        "rank": rank,
        "patient": _patient(collection, hit),
        "similarity": round(hit.score, 4),
        **{column: hit.payload.get(name) for name, column in names.items()},
        **unit,
    }


def _patient(collection: Collection, hit: Hit) -> PayloadValue:
    """Return whose a hit is, as it is kept; a unit of several patients names them all."""
    field = patient_field(collection)
    value = hit.payload.get(field) if field else hit.id
    return ", ".join(value) if isinstance(value, list) else value


def _show_their_table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    table = PlainTable(title, collapse_padding=True)
    names = list(rows[0])[:MAX_COLUMNS] if rows else ["rank", "patient", "similarity"]
    for name in names:
        fixed = name in ("rank", "patient", "similarity")
        width = len(name) if fixed else None
        table.add_column(
            name, justify="right" if fixed else "left", no_wrap=True, overflow="ellipsis", min_width=width
        )
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
    Console().print(table)


def _outcome(payload: Payload) -> str | None:
    died = payload.get("died")
    return None if died is None else "died in hospital" if died else "survived"


def _show_table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    labels = sorted({key for row in rows for key in row if key.startswith("label_")})
    console = Console()
    room = max(19, console.width - 61 - 16 * len(labels))  # what the other columns leave
    table = PlainTable(title, collapse_padding=True)
    for name, width in (("rank", 4), ("patient", 7), ("similarity", 10), ("age", 3)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    table.add_column("sex", no_wrap=True, min_width=3)
    table.add_column("principal diagnosis", no_wrap=True, overflow="ellipsis", max_width=room)
    table.add_column("outcome", no_wrap=True, min_width=16)
    for label in labels:
        table.add_column(label.removeprefix("label_"), no_wrap=True, overflow="ellipsis")
    for row in rows:
        diagnosis = " ".join(
            str(part) for part in (row["diagnosis_code"], row["diagnosis"]) if part is not None
        )
        age = f"{row['age']:.0f}" if isinstance(row["age"], (int, float)) else row["age"] or ""
        cells = [row["sex"], diagnosis, row["outcome"], *(row.get(label) for label in labels)]
        texts = ["" if cell is None else str(cell) for cell in cells]
        table.add_row(str(row["rank"]), str(row["patient"]), f"{row['similarity']:.4f}", age, *texts)
    console.print(table)
