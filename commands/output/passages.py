"""Passages of notes beside the patients that they are of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cohorts.commands.output.plain_table import PlainTable

if TYPE_CHECKING:
    from cohorts.analysis.evidence import Passage


def passage_as_json(passage: "Passage | None") -> dict[str, Any] | None:
    """Return a passage with its note's category and time, and the words of the question in it."""
    if passage is None:
        return None
    return {
        "passage": passage.text,
        "category": passage.category,
        "time": passage.time,
        "words": list(passage.words),
    }


def passage_table(what: str, patients: Sequence[str], passages: "Sequence[Passage | None]") -> PlainTable:
    """Return a table of each patient's passage, over as many lines as it takes; `what` names what it fits best."""
    table = PlainTable(
        f"the passage of each one's notes that fits the {what} best; read now, and not kept",
        collapse_padding=True,
        show_header=False,
    )
    table.add_column("rank", justify="right")
    table.add_column("patient", justify="right", no_wrap=True)
    table.add_column("passage")
    for rank, (patient, one) in enumerate(zip(patients, passages, strict=True), start=1):
        table.add_row(str(rank), patient, _told(one) if one else "none that fits")
    return table


def _told(passage: "Passage") -> str:
    about = ", ".join(part for part in (passage.category, passage.time) if part)
    return f"{passage.text} ({about})" if about else passage.text
