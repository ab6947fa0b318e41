"""Tables of neighbours, summaries, descriptions and findings."""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from cohorts.analysis.words import Words
from cohorts.commands.output import log
from cohorts.commands.output.doctor import Finding
from cohorts.commands.output.explanations import as_cells, check_explained, show_told, told_of, why
from cohorts.commands.output.plain_table import PlainTable, show
from cohorts.connectors.attached.attachment import Attachment, Inspection
from cohorts.connectors.base import Abilities, Collection, Description, Hit, Payload, PayloadValue
from cohorts.connectors.collection import EXTERNAL
from cohorts.connectors.filters.reading import quoted
from cohorts.connectors.index import KINDS, SearchParams, show_index, show_search
from cohorts.connectors.patients import patient_field
from cohorts.harness.evaluate.note_categories import LABEL, CategoryLine, category_lines
from cohorts.harness.reports import published
from cohorts.loaders.points.reasons import codes_of
from cohorts.plain_text import csv_cell, json_text
from cohorts.search.neighbours import Neighbours
from rich.console import Console

if TYPE_CHECKING:
    from cohorts.loaders.journal.verify import Verdict

MAX_COLUMNS = 8  # of fields of others; --format json has them all
_IF_ANY = {
    "unchanged": "units that stood there already",
    "not_encodable": "units with nothing to encode",
    "rejected": "points that could not be written",
    "vanished": "units that the source has no more",
    "removed": "of them removed",
}
_TOLD_S = 0.1  # shorter waits are no news
SYNTHETIC = "synthetic data: invented patients, no clinical meaning"


def show_neighbours(
    found: Neighbours,
    output: str,
    description: Description,
    *,
    explain: bool = False,
    words: Sequence[Words] | None = None,
) -> None:
    """Print the neighbours to stdout as a table, as JSON or as CSV, and the codes they share with whom was asked for.

    With `explain`, why their vectors are as they are too, and what `words` of a text add to the score of each, where
    they are given. Raises InputError where neither can be told.
    """
    words = words if words and any(words) else None
    if explain:
        check_explained(found, description, words)
    collection = description.collection
    told = told_of(found, words, explain=explain)
    theirs = _is_theirs(collection)
    row_of = partial(_their_row, _their_names(collection, found.hits, told)) if theirs else _row
    rows = [row_of(collection, rank, hit) for rank, hit in enumerate(found.hits, start=1)]
    synthetic = bool(collection.metadata.get("synthetic"))
    if output == "json":
        asked = codes_of(found.own)
        result = {
            "synthetic": synthetic,
            "asked": found.asked,
            "got": len(rows),
            "per": "unit" if found.per_unit else "patient",
            "index": show_index(collection.index),
            "translation": collection.translation,
            "notes": [note for note in (found.shortfall, *found.notes) if note],
            **({"asked_codes": asked} if asked else {}),
            **({"patient": [why(one) for one in found.own]} if explain else {}),
            "neighbours": [{**row, **one} for row, one in zip(rows, told, strict=True)],
        }
        print(json_text(result, indent=2))  # noqa: T201 - this is the output
    elif output == "csv":
        lines = [{**row, **as_cells(one)} for row, one in zip(rows, told, strict=True)]
        _write_csv(lines, list(dict.fromkeys(chain(*(lines or [row_of(collection, 0, Hit("", 0.0, {}))])))))
    elif theirs:
        _show_their_table(rows, synthetic)
    else:
        _show_table(rows, synthetic)
    if output == "table":
        show_told(found, told)
    if found.shortfall:
        _note(f"{found.shortfall}.")
    for note in (collection.translation, *found.notes):
        if note:
            _note(f"Note: {note.removesuffix('.')}.")


def _write_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in rows)


def show_summary(manifest: Mapping[str, Any], *, dry_run: bool) -> None:
    """Print what a run read, wrote and took to stderr."""
    if log.is_json():
        log.tell("summary", **manifest)
        return
    table = _plain_table("read and checked" if dry_run else "loaded")
    for label, value in (*_read(manifest), *(() if dry_run else _written(manifest)), *_spent(manifest)):
        table.add_row(label, f"{value:>9}")
    Console(stderr=True).print(table)
    if categories := category_lines(manifest.get("note_categories", ())):
        Console(stderr=True).print(_categories(categories))
    for note in _notes(manifest, dry_run=dry_run):
        _note(f"Note: {note.removesuffix('.')}.")


def _categories(lines: Sequence[CategoryLine]) -> PlainTable:
    table = PlainTable("notes by category", collapse_padding=True)
    table.add_column("category")
    for heading in (
        "notes",
        "of all\nnotes",
        "admissions\nwith one",
        "of all\nadmissions",
        LABEL.replace(", ", ",\n"),
    ):
        table.add_column(heading, justify="right")
    for line in lines:
        table.add_row(
            line.name,
            line.notes,
            line.share_of_notes,
            line.admissions,
            line.share_of_admissions,
            line.published,
        )
    return table


def _read(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, head in (
        ("counts", ""),
        ("quarantined", "quarantined: "),
        ("left_out", "left out: "),
        ("cut", ""),
    ):
        for what, count in manifest.get(name, {}).items():
            yield head + what, f"{count:,}"


def _written(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "vectors written", f"{manifest['written']:,}"
    for what, label in _IF_ANY.items():
        if manifest[what]:
            yield label, f"{manifest[what]:,}"
    yield "vectors per second (write and index)", f"{manifest['vectors_per_s']:,}"


def _spent(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for stage, spent_s in manifest["seconds"].items():
        yield f"seconds to {stage}", f"{spent_s:,.2f}"
        for what, waited_s in manifest["waits"].get(stage, {}).items():
            if waited_s >= _TOLD_S:
                yield f"  waited {what.removesuffix('_s').replace('_', ' ')}", f"{waited_s:,.2f}"
    if manifest["bottleneck"]:
        yield "the slowest stage", manifest["bottleneck"]
    yield "seconds in all", f"{manifest['total_s']:,.2f}"
    yield "peak memory (MiB)", f"{manifest['peak_rss_mib']:,}"


def _notes(manifest: Mapping[str, Any], *, dry_run: bool) -> Iterator[str]:
    if not dry_run and manifest["index"]["translation"]:
        yield manifest["index"]["translation"]
    if modules := manifest.get("encoder", {}).get("modules"):
        yield f"vectors are made by the modules of the text model's own folder: {', '.join(modules)}"
    if lacks := manifest.get("encoder", {}).get("lacks"):
        yield lacks
    if manifest["vanished"] > manifest["removed"]:
        yield (
            f"{manifest['vanished']:,} units stand in the collection and not in the source any more; --update "
            "--remove-vanished removes them"
        )
    yield from manifest.get("warnings", ())
    if manifest.get("synthetic"):
        yield SYNTHETIC


def show_verdict(verdict: "Verdict", name: str) -> None:
    """Print what a verification counted and compared to stderr."""
    if log.is_json():
        log.tell("verified", collection=name, faults=verdict.faults(), **asdict(verdict))
        return
    table = _plain_table(f"collection {name}")
    for label, count in (
        ("vectors written", verdict.written),
        ("vectors there", verdict.held),
        ("compared, vector and payload", verdict.compared),
        ("missing", len(verdict.missing)),
        ("other vector", len(verdict.vectors)),
        ("other payload", len(verdict.payloads)),
        ("of others", verdict.strangers),
    ):
        table.add_row(label, f"{count:>9,}")
    Console(stderr=True).print(table)


def show_description(description: Description, name: str) -> None:
    """Print what collection `name`, or the one that this alias leads to, holds to stdout."""
    collection = description.collection
    version = "" if collection.name == name else f" (now {collection.name})"
    table = _plain_table(f"collection {name}{version}")
    table.add_row("engine", description.engine)
    table.add_row("vectors", f"{description.count:,}")
    table.add_row("indexed", f"{description.indexed:,}")
    table.add_row("dimension", str(collection.dim))
    table.add_row("metric", description.metric)
    table.add_row("index", show_index(collection.index))
    if collection.search != SearchParams():
        table.add_row("search by default", show_search(collection.search))
    if collection.translation:
        table.add_row("matched by recall", collection.translation)
    for key, value in collection.metadata.items():
        table.add_row(key.replace("_", " "), str(value))
    table.add_row("fields to filter by", ", ".join(map(quoted, collection.fields)))
    if description.note:
        table.add_row("note", description.note)
    show(table)


def show_abilities(abilities: Abilities) -> None:
    """Print what an engine can do, as it declares it, to stdout."""
    table = _plain_table(f"engine {abilities.engine}")
    has = {kind.__name__.lower() for kind in abilities.indexes}
    for name in KINDS:
        variants = {"ivf": abilities.ivf, "hnsw": abilities.quantization}.get(name, ())
        more = f" ({', '.join(variants)})" if variants else ""
        lacking = "no: matched by recall, or refused with --strict-index"
        table.add_row(f"index {name}", f"yes{more}" if name in has else lacking)
    table.add_row("neighbours at most", f"{abilities.max_k:,}")
    for note in abilities.notes:
        table.add_row("note", note)
    show(table)


def show_inspection(found: Inspection, proposed: Attachment) -> None:
    """Print what someone else's collection looks like, and how it would be read, to stdout."""
    table = _plain_table(f"collection {found.name}")
    rows = {
        "engine": found.engine,
        "made by": "cohorts" if found.ours else "others",
        "vectors": f"{found.count:,}",
        "keys": found.key,
        "state": found.state,
        "aliases": ", ".join(found.aliases) or "none",
    }
    for what, value in rows.items():
        table.add_row(what, value)
    for vector in found.vectors:
        chosen = " ← read" if vector.name == proposed.vector else ""
        if chosen and proposed.units_seen:
            chosen += f" as cosine: all of {proposed.units_seen:,} that were looked at have length 1"
        unread = f", {vector.unread}" if vector.unread else ""
        shown = f"{vector.dim} dimensions, {vector.metric}, index {vector.index}{unread}{chosen}"
        table.add_row(f"vector {vector.name or '(unnamed)'}", shown)
    names = {path: field for field, path in proposed.paths.items()}
    for path, kind in found.fields.items():
        shown = f"{kind}, filter by {quoted(names[path])}" if path in names else kind
        table.add_row(f"field {path}", shown)
    patient = proposed.collection.metadata.get("patient_field")
    table.add_row("patient id", f"field {patient}" if patient else "the point's own id")
    show(table)


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what `doctor` found to stdout."""
    table = PlainTable()
    for heading in ("what", "found", "to do"):
        table.add_column(heading)
    for finding in findings:
        table.add_row(finding.what, finding.found, finding.remedy)
    show(table)


def show_models(models: Iterable[Mapping[str, str]]) -> None:
    """Print the text models by name to stdout: what each suits, what was published of it, whether it is here."""
    for suits, group in groupby(models, lambda one: one["suits"]):
        table = PlainTable(f"for {suits}", collapse_padding=True)
        for name in ("--encoder, and its id", "size", "published", "cached"):
            table.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
        for one in group:
            names = f"{one['spec']}\n{one['hub_id']}"
            score = published.of_checkpoint(one["hub_id"])
            table.add_row(names, one["parameters"], score.printed if score else "", one["cached"])
        show(table)


def _row(collection: Collection, rank: int, hit: Hit) -> dict[str, Any]:
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


def _their_row(names: Mapping[str, str], collection: Collection, rank: int, hit: Hit) -> dict[str, Any]:
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


def _show_their_table(rows: Sequence[Mapping[str, Any]], synthetic: bool) -> None:
    table = PlainTable(SYNTHETIC if synthetic else "", collapse_padding=True)
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


def _show_table(rows: Sequence[Mapping[str, Any]], synthetic: bool) -> None:
    labels = sorted({key for row in rows for key in row if key.startswith("label_")})
    console = Console()
    room = max(19, console.width - 61 - 16 * len(labels))  # what the other columns leave
    table = PlainTable(SYNTHETIC if synthetic else "", collapse_padding=True)
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


def _plain_table(title: str) -> PlainTable:
    table = PlainTable(title, show_header=False)
    table.add_column()
    table.add_column()
    return table


def _note(text: str) -> None:
    log.say("note", text)
