"""Any encoder that sees codes, drugs and laboratory items by the concepts that maps give them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cohorts.documents import read_json
from cohorts.encoders.base import Encoder
from cohorts.encoders.saving import AGAIN
from cohorts.encoders.views.wrapped import Wrapped
from cohorts.errors import EncoderError
from cohorts.private_files import write_private
from cohorts.records.base import Batch, Source
from cohorts.records.codes.concepts.applied import MappedSource, Maps
from cohorts.records.codes.concepts.base import ConceptMap
from cohorts.records.codes.concepts.built_in import BUILT_IN
from cohorts.records.codes.concepts.table import TableMap, read_saved

FILE = "concepts.json"


class Mapped(Wrapped):
    """Any encoder whose batches are mapped, in training and in encoding; the maps are kept with it."""

    def __init__(self, encoder: Encoder, maps: Maps) -> None:
        super().__init__(encoder)
        self.maps = maps

    def source(self, source: Source) -> Source:
        """Return the source as the maps show it."""
        return MappedSource(source, self.maps)

    def batch(self, batch: Batch) -> Batch:
        """Return the batch as the maps show it."""
        return self.maps.apply(batch)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return which maps it sees by."""
        return {"concept maps": [f"{one.name} ({one.version})" for one in self.maps.maps]}

    @property
    def fingerprint(self) -> str:
        """Return a hash over the encoder's own and the rows of the maps (hex). Raises EncoderError before `fit`."""
        facts = json.dumps([self.encoder.fingerprint, [one.digest for one in self.maps.maps]])
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def keep(self, folder: Path) -> None:
        """Write `concepts.json` beside the encoder that lies in a folder, and the rows of maps not built in."""
        kept = []
        for number, one in enumerate(self.maps.maps, start=1):
            file = f"concepts-{number}.csv.gz" if isinstance(one, TableMap) else ""
            if isinstance(one, TableMap):
                one.save(folder / file)
            kept.append(_Kept(one.name, one.version, one.licence, one.digest, file)._asdict())
        write_private(folder / FILE, json.dumps({"maps": kept}, indent=1))


def maps_of(encoder: object) -> Maps | None:
    """Return the maps that an encoder sees by, in whatever window and less whatever codes; None for none."""
    while isinstance(encoder, Wrapped) and not isinstance(encoder, Mapped):
        encoder = encoder.encoder
    return encoder.maps if isinstance(encoder, Mapped) else None


class _Kept(NamedTuple):
    """What is kept of a map; `file` has its rows, and is "" for a built-in one."""

    name: str
    version: str
    licence: str
    digest: str
    file: str


class _About(NamedTuple):
    """What `concepts.json` holds."""

    maps: list[_Kept]


def restore_maps(folder: Path) -> Maps | None:
    """Return the maps that the encoder in a folder sees by, None for none.

    Raises EncoderError where they can't be read, were changed, or are built-in ones of another version.
    """
    if not (folder / FILE).exists():
        return None
    kept = read_json(folder / FILE, _About, error=EncoderError, remedy=AGAIN)
    return Maps(tuple(_restored(folder, one) for one in kept.maps))


def _restored(folder: Path, kept: _Kept) -> ConceptMap:
    if not kept.file:
        made = BUILT_IN.get(kept.name)
        if made is None or made.digest != kept.digest:
            raise EncoderError(
                f"The encoder in {folder} sees by the concept map {kept.name} ({kept.version}), and this version of "
                "cohorts has another.",
                remedy=AGAIN,
            )
        return made
    try:
        rows = read_saved(folder / Path(kept.file).name)
    except (OSError, EOFError, ValueError) as error:
        raise EncoderError(f"{folder / FILE}: the rows of {kept.name} can't be read. {AGAIN}") from error
    table = TableMap(kept.name, kept.version, kept.licence, rows)
    if table.digest != kept.digest:
        raise EncoderError(f"{folder / FILE}: the rows of {kept.name} were changed. {AGAIN}")
    return table
