"""Entries are cut out of Bundles as a parser of the whole would find them, wherever a block ends."""

import io
import json
from typing import Any

import orjson
import pytest
from cohorts.records.sources.fhir import bundles
from cohorts.records.sources.fhir.bundles import ENDS_EARLY, TOO_LONG, Piece, cut_entries
from hypothesis import given
from hypothesis import strategies as st

_TEXTS = st.text(alphabet='ab"\\{}[]:,\n é', max_size=12)
_VALUES = st.recursive(
    _TEXTS | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_ENTRIES = st.lists(st.dictionaries(_TEXTS, _VALUES, max_size=3), max_size=5)


def cut(raw: bytes, monkeypatch: pytest.MonkeyPatch, block: int) -> list[Piece]:
    monkeypatch.setattr(bundles, "BLOCK", block)
    return list(cut_entries(io.BytesIO(raw)))


@given(
    entries=_ENTRIES,
    before=_VALUES,
    after=_VALUES,
    indent=st.sampled_from([None, 2]),
    block=st.integers(1, 60),
)
def test_entries_are_those_that_a_parser_finds(
    entries: list[dict[str, Any]], before: Any, after: Any, indent: int | None, block: int
) -> None:
    whole = {"resourceType": "Bundle", "link": [before, {"entry": 1}], "entry": entries, "tag": [after]}
    raw = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        pieces = cut(raw, patch, block)
    assert [orjson.loads(piece.raw) for piece in pieces] == entries
    lines = raw.split(b"\n")
    assert all(
        lines[piece.line - 1].lstrip().startswith((b"{", b'"entry"')) or indent is None for piece in pieces
    )


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_documents_that_are_no_bundles(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    raw = (
        b'{"a": [1, {"b": "}"}]}\n[{"c": 1},\n {"d": [{"e": 2}]}]\n{"entry": []} {"f": {"entry": [{"g": 1}]}}'
    )
    pieces = cut(raw, monkeypatch, block)
    assert [(orjson.loads(piece.raw), piece.line, piece.whole) for piece in pieces] == [
        ({"a": [1, {"b": "}"}]}, 1, True),
        ({"c": 1}, 2, False),
        ({"d": [{"e": 2}]}, 3, False),
        ({"f": {"entry": [{"g": 1}]}}, 4, True),
    ]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_document_that_ends_early(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    raw = b'{"entry": [\n{"a": 1},\n{"b": "x'
    good, broken = cut(raw, monkeypatch, block)
    assert (good.raw, good.line, good.fault) == (b'{"a": 1}', 2, "")
    assert (broken.raw, broken.fault) == (b"", ENDS_EARLY)


def test_no_more_than_so_much_of_an_entry_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", 1000)
    raw = json.dumps({"entry": [{"a": 1}, {"b": "x" * 20_000}, {"c": 3}]}, indent=1).encode()
    first, second, third = cut(raw, monkeypatch, 64)
    assert (orjson.loads(first.raw), second.fault, orjson.loads(third.raw)) == ({"a": 1}, TOO_LONG, {"c": 3})
    assert (first.line, third.line) == (3, 9)
