"""Why neighbours are neighbours: shared codes, words of the text asked by, and what their vectors were made of.

Codes and reasons are those that the encoder told at the ingest; words are told of the question, and never kept.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cohorts.analysis.words import Words
from cohorts.commands.output.passages import passage_as_json, passage_table
from cohorts.commands.output.plain_table import PlainTable, plain, show
from cohorts.connectors.base import Payload
from cohorts.errors import InputError
from cohorts.loaders.points.reasons import codes_of, reasons_of, shared_codes
from cohorts.plain_text import printable
from cohorts.search.neighbours import Neighbours
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from cohorts.analysis.evidence import Passage

_KINDS = {
    "codes": ("diagnosis:", "procedure:"),
    "drugs": ("drug:",),
    "laboratory flags": ("lab:",),
}
_SHOWN = 4  # reasons; --format json has them all
_LEAST = 0.0005  # added by a word: what is less is shown as .000, and so is not shown
_LEAST_ROOM = 30  # characters for a list
_GAPS = 6  # characters beside rank, patient and a list


def check_explained(found: Neighbours, words: Sequence[Words] | None) -> None:
    """Raise InputError where nothing was kept, and nothing of a text can be told, that explains these neighbours."""
    kept = (*found.own, *(hit.payload for hit in found.hits))
    if not found.hits or words or any(reasons_of(payload) for payload in kept):
        return
    collection = found.description.collection
    encoder = collection.metadata.get("encoder")
    about = f"Collection {collection.name} keeps no explanations: its encoder is {encoder}."
    if encoder == "lsa":
        raise InputError(
            f"{about} The words of notes are not stored, so that two patients' likeness can't be told by them. Ask by "
            "--text or --note-file: the words of that text are told."
        )
    raise InputError(
        f"{about} They are kept by cohorts ingest --encoder codes, concat:… of which codes or fused is a part, "
        "fused:… or sepsis, without --ray-workers; lsa, alone or in concat:…, explains answers to a --text."
    )


def told_of(
    found: Neighbours,
    words: Sequence[Words] | None,
    evidence: "Sequence[Passage | None] | None" = None,
    *,
    explain: bool,
) -> list[dict[str, Any]]:
    """Return what is told of every hit, by name, beside its facts: nothing that is not known of any.

    `shared_codes` are the codes of the patient asked for that a hit has too, those that weigh most there first;
    `words` of a text and what each adds; `evidence`, a passage of its notes; with `explain`, `from_notes` and
    `reasons`.
    """
    asked, told = codes_of(found.own), list[dict[str, Any]]()
    kept = any(reasons_of(hit.payload) is not None for hit in found.hits)
    for place, hit in enumerate(found.hits):
        one: dict[str, Any] = {"shared_codes": shared_codes(asked, hit.payload)} if asked else {}
        if words is not None:
            one["words"] = [[word, round(share, 6)] for word, share in words[place] if round(share, 6)]
        if evidence is not None:
            one["evidence"] = passage_as_json(evidence[place])
        if explain and kept:
            one |= why(hit.payload)
        told.append(one)
    return told


def as_cells(told: dict[str, Any]) -> dict[str, Any]:
    """Return what `told_of` tells of a hit as cells of a CSV: lists are texts, with `; ` between."""
    cells = dict(told)
    if told.get("shared_codes") is not None:
        cells["shared_codes"] = "; ".join(told["shared_codes"])
    if "words" in told:
        cells["words"] = "; ".join(f"{word}={share}" for word, share in told["words"])
    if "evidence" in told:
        cells["evidence"] = (told["evidence"] or {}).get("passage")
    return cells


def why(payload: Payload) -> dict[str, Any]:
    """Return the share that came from notes, and the reasons with their degrees, strongest first."""
    return {"from_notes": payload.get("from_notes"), "reasons": reasons_of(payload)}


def show_told(
    found: Neighbours, told: Sequence[dict[str, Any]], evidence: "Sequence[Passage | None] | None"
) -> None:
    """Print what `told_of` tells to stdout, a table for each kind that is known, as much as fits on a line each."""
    asked = codes_of(found.own)
    patients = [printable(str(hit.payload.get("patient_id", hit.id))) for hit in found.hits]
    for kind, prefixes in _KINDS.items():
        if many := len([code for code in asked if code.startswith(prefixes)]):
            title = f"shared {kind}, of {many:,} asked for, the weightiest first"
            _show_lists(title, patients, [_shared(one["shared_codes"], prefixes) for one in told])
    if any("words" in one for one in told):
        title = "what words of the text add to the similarity"
        _show_lists(title, patients, [_added(one["words"]) for one in told])
    if evidence is not None and any(evidence):
        show(passage_table("question", patients, evidence))
    if any(one.get("reasons") is not None for one in told):
        _show_reasons(found)


def _shared(codes: Sequence[str] | None, prefixes: tuple[str, ...]) -> list[str]:
    if codes is None:
        return []
    own = [code for code in codes if code.startswith(prefixes)]
    names = [re.sub("^(diagnosis|drug|lab):", "", code).replace("_", " ") for code in own]
    return [f"{len(names)}: {names[0]}", *names[1:]] if names else ["0"]


def _added(words: Sequence[tuple[str, float]]) -> list[str]:
    return [f"{word} {_sign(share)}" for word, share in words if abs(share) >= _LEAST]


def _sign(share: float) -> str:
    """Return a share of a cosine as +.123."""
    return f"{share:+.3f}".replace("0.", ".", 1)


def _show_lists(title: str, patients: Sequence[str], lists: Sequence[Sequence[str]]) -> None:
    room = Console().width - _GAPS - len("rank") - max(map(cell_len, ("patient", *patients)))
    table = PlainTable(title, collapse_padding=True, show_header=False)
    table.add_column("rank", justify="right")
    table.add_column("patient", justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for rank, (patient, items) in enumerate(zip(patients, lists, strict=True), start=1):
        table.add_row(str(rank), patient, ", ".join(_fitting(items, max(room, _LEAST_ROOM))))
    show(table)


def _fitting(items: Iterable[str], room: int) -> Iterator[str]:
    """Yield the first items whole, at least one, as many as stand in a line with commas between, and … for the rest."""
    whole = [printable(item) for item in items]
    ends = list(accumulate(cell_len(item) + len(", ") for item in whole))
    many = sum(end + len("…") <= room for end in ends)
    if ends and ends[-1] - len(", ") <= room:
        many = len(whole)
    yield from whole[: max(1, many)]
    if len(whole) > max(1, many):
        yield "…"


def _show_reasons(found: Neighbours) -> None:
    """Print the patient's own reasons and those of the neighbours to stdout; what both have in common is bold."""
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
