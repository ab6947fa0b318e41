"""Files of FHIR: which there are, and their resources one by one, in bounded memory, with the place of each."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from cohorts.errors import SourceError
from cohorts.records.sources.fhir.bundles import MOST_BYTES, TOO_LONG, Piece, cut_entries
from cohorts.records.sources.fhir.elements import NO_KEY, Found, Remarks, reference_key
from cohorts.records.tables.columns import numbered
from cohorts.records.tables.reading import JSON_LINES, damage_told
from cohorts.records.tables.text_files import open_utf8, plain_suffix

READ = ".ndjson, .jsonl or .json, each as it is or packed (.gz, .bz2, .xz)"
_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Z][A-Za-z]{1,60})"')
_HEAD, _BUFFER = 1024 * 1024, 1024 * 1024
_NO_JSON, _NO_OBJECT = "it is no JSON", "it is no JSON object"
_NO_TYPE = "it has no resourceType"


@dataclass(frozen=True)
class Fault:
    """Where something can't be used, and why."""

    row: int
    line: int
    reason: str


def fhir_files(path: Path) -> list[Path]:
    """Return the files of a folder and of those below it, or the one file. Raises SourceError where there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"There is no folder, and no file, {path}.")
    found = [one for one in path.rglob("*") if one.is_file() and plain_suffix(one) in (*JSON_LINES, ".json")]
    found = [one for one in found if not any(part[0] in "._" for part in one.relative_to(path).parts)]
    if not found:
        raise SourceError(f"No FHIR in {path}: NDJSON or Bundles were looked for, {READ}.")
    return sorted(found)


def read_resources(
    path: Path, number: int, wanted: frozenset[str], remarks: Remarks
) -> Iterator[Found | Fault]:
    """Yield the resources of some types in a file, and what can't be used of it; others are counted.

    `number` is the file's among all. Raises SourceError where the file can't be read to its end.
    """
    with damage_told(path):
        raw = open_utf8(path)
        if raw is None:
            raise SourceError(f"{path} is UTF-16, and FHIR is UTF-8: save it so.")
        with cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER)) as stream:
            lines = _holds_lines(path)
            row = numbered(number, 1)
            for piece in cut_lines(stream) if lines else cut_entries(stream):
                for one in _of_piece(piece, row, wanted, remarks, lines=lines):
                    yield one
                    row = one.row
                row += 1


def cut_lines(stream: BinaryIO) -> Iterator[Piece]:
    """Yield every line that is not blank."""
    line = 0
    while raw := stream.readline(MOST_BYTES + 1):
        line += 1
        if len(raw) > MOST_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MOST_BYTES)
            yield Piece(b"", line, fault=TOO_LONG)
        elif not raw.isspace():
            yield Piece(raw, line, whole=True)


def _holds_lines(path: Path) -> bool:
    """Tell whether a file holds a resource a line, as its name and its first lines say."""
    stream = open_utf8(path)
    with cast(BinaryIO, stream):
        head = cast(BinaryIO, stream).read(_HEAD).lstrip()
    begins, _, behind = head.partition(b"\n")
    if plain_suffix(path) in JSON_LINES:
        return begins.strip() not in (b"{", b"[")
    try:
        return isinstance(orjson.loads(begins), dict) and bool(behind.strip())
    except orjson.JSONDecodeError:
        return False


def _of_piece(
    piece: Piece, row: int, wanted: frozenset[str], remarks: Remarks, *, lines: bool
) -> Iterator[Found | Fault]:
    """Yield the resources of a line or an entry, mostly one."""
    if piece.fault:
        yield Fault(row, piece.line, piece.fault)
        return
    types = {one.decode() for one in _TYPE.findall(piece.raw)}
    if types and types.isdisjoint(wanted) and "Bundle" not in types:  # most bytes of some servers are claims
        remarks.not_read[_first_type(piece.raw)] += 1
        return
    try:
        value = orjson.loads(piece.raw)
    except orjson.JSONDecodeError:
        yield Fault(row, piece.line, _NO_JSON)
        return
    if not isinstance(value, dict):
        yield Fault(row, piece.line, _NO_OBJECT)
    elif piece.whole and not lines and not types:
        remarks.no_fhir += 1  # a list of an export's files, a program's settings
    elif lines and not {"resourceType", "resource"} & value.keys():
        yield Fault(row, piece.line, _NO_TYPE)
    else:
        yield from _found(value, row, piece.line, wanted, remarks)


def _found(
    value: Mapping[str, Any], row: int, line: int, wanted: frozenset[str], remarks: Remarks
) -> Iterator[Found | Fault]:
    for place, (resource, url) in enumerate(_unfolded(value, ""), row):
        kind = resource["resourceType"]
        if kind in wanted:
            key = (reference_key(url) if url.startswith("urn:") else None) or resource.get("id")
            key = key or reference_key(url)
            if key is None or isinstance(key, str):
                yield Found(resource, key or f"{NO_KEY}{place}", place, line)
            else:
                yield Fault(place, line, "its id is no text")
        elif isinstance(kind, str) and _TYPE.fullmatch(f'"resourceType":"{kind}"'.encode()):
            remarks.not_read[kind] += 1
        else:
            yield Fault(place, line, _NO_TYPE)


def _unfolded(value: Any, url: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the resources of a Bundle or an entry, and their full addresses."""
    if not isinstance(value, dict):
        return
    if value.get("resourceType") == "Bundle":
        entries = value.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            yield from _unfolded(entry, "")
    elif "resourceType" in value:
        yield value, url
    else:
        full = value.get("fullUrl")
        yield from _unfolded(value.get("resource"), full if isinstance(full, str) else "")


def _first_type(raw: bytes) -> str:
    found = _TYPE.search(raw)
    return found[1].decode() if found else ""
