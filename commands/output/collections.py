"""What a collection holds, what an engine can do, and what a collection of others looks like."""

from cohorts.commands.output.plain_table import show, two_columns
from cohorts.connectors.attached.attachment import Attachment, Inspection
from cohorts.connectors.base import Abilities, Description
from cohorts.connectors.filters.reading import quoted
from cohorts.connectors.index import KINDS, SearchParams, show_index, show_search
from cohorts.search.neighbours import records_seen


def show_description(description: Description, name: str) -> None:
    """Print what collection `name`, or the one that this alias leads to, holds to stdout."""
    collection = description.collection
    version = "" if collection.name == name else f" (now {collection.name})"
    table = two_columns(f"collection {name}{version}")
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
    if seen := records_seen(collection):
        table.add_row("records seen", seen)
    for key, value in collection.metadata.items():
        if key != "as_of":
            table.add_row(key.replace("_", " "), str(value))
    table.add_row("fields to filter by", ", ".join(map(quoted, collection.fields)))
    if collection.unindexed:
        table.add_row("of these without an index", ", ".join(map(quoted, collection.unindexed)))
    if description.note:
        table.add_row("note", description.note)
    show(table)


def show_abilities(abilities: Abilities) -> None:
    """Print what an engine can do, as it declares it, to stdout."""
    table = two_columns(f"engine {abilities.engine}")
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
    table = two_columns(f"collection {found.name}")
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
