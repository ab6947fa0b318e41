"""Why neighbours are neighbours: what their vectors were made of, as the encoder told at the ingest."""

from typing import Any

from cohorts.analysis.neighbours import Neighbours
from cohorts.connectors.base import Description, Payload
from cohorts.errors import InputError
from cohorts.loaders.payload import reasons_of
from cohorts.terminal.plain_table import PlainTable, plain, show
from rich.text import Text

_SHOWN = 4  # reasons; --format json has them all


def check_explained(found: Neighbours, description: Description) -> None:
    """Raise InputError where nothing was kept that explains these neighbours."""
    if found.hits and not any(reasons_of(hit.payload) for hit in found.hits):
        encoder = description.collection.metadata.get("encoder")
        raise InputError(
            f"Collection {description.collection.name} keeps no explanations: its encoder is {encoder}. They are "
            "kept by cohorts ingest --encoder fused:…, without --ray-workers."
        )


def why(payload: Payload) -> dict[str, Any]:
    """Return the share that came from notes, and the reasons with their degrees, strongest first."""
    return {"from_notes": payload.get("from_notes"), "reasons": reasons_of(payload)}


def show_explanations(found: Neighbours) -> None:
    """Print the patient's own explanation and those of the neighbours to stdout; what both have in common is bold."""
    title = "what each vector was made of; bold: shared with the patient asked for"
    table = PlainTable(title, collapse_padding=True)
    table.add_column("rank", justify="right")
    table.add_column("patient", justify="right", no_wrap=True)
    table.add_column("from\nnotes", justify="right")
    table.add_column("by how many degrees it turns without")
    own = {name for payload in found.own for name in reasons_of(payload) or {}}
    lines = [("asked", "", payload) for payload in found.own]
    lines += [(str(rank), hit.id, hit.payload) for rank, hit in enumerate(found.hits, start=1)]
    for rank, key, payload in lines:
        share = payload.get("from_notes")
        told = _told(reasons_of(payload) or {}, own if rank != "asked" else set())
        notes = f"{100 * share:.0f} %" if isinstance(share, (int, float)) else ""
        table.add_row(rank, str(payload.get("patient_id", key)), notes, told)
    show(table)


def _told(reasons: dict[str, float], own: set[str]) -> Text:
    parts = [
        plain(f"{name.replace('_', ' ')} {degrees:.0f}", "bold" if name in own else "")
        for name, degrees in list(reasons.items())[:_SHOWN]
    ]
    return Text(", ").join(parts)
