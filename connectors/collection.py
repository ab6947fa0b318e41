"""What a collection is made from, and the values that its payloads hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from cohorts.connectors.index import Hnsw, Index, SearchParams

Scalar = str | int | float | bool | None
PayloadValue = Scalar | list[str]
Payload = Mapping[str, PayloadValue]
"""What stands beside a vector: fields by name."""
NOTHING: Payload = MappingProxyType({})
FieldType = type[str] | type[int] | type[float] | type[bool] | type[date] | type[list[str]]
"""The type of a field that can be filtered by."""

OUR_PREFIX = "_cohorts_"  # payload keys and fields that are ours and not the user's
EXTERNAL = "external"  # the encoder of vectors that were loaded ready
POPULATION = "population"  # in words, of an encoder that makes vectors of some units alone, by a rule
ATTACHED = "attached"  # of the metadata of a collection of others, which is read by a mapping


@dataclass(frozen=True)
class Collection:
    """What a collection is made from.

    `fields` names the payload keys to filter by and their types (a date is ISO text), each with an index of its own but
    those in `unindexed`; `metadata` is a flat JSON object kept with the collection (encoder fingerprint, source
    checksum, unit). `index` is the one in effect and `search` its default parameters; where another index was asked for
    and matched by recall, `translation` says so.
    """

    name: str
    dim: int
    index: Index = Hnsw()
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    search: SearchParams = SearchParams()
    translation: str = ""
    unindexed: tuple[str, ...] = ()

    @property
    def indexed(self) -> Mapping[str, FieldType]:
        """Return the fields that have an index, which filters are fast by."""
        return {name: kind for name, kind in self.fields.items() if name not in self.unindexed}

    @property
    def attached(self) -> bool:
        """Return whether it belongs to others: its payloads are theirs, and it has no versions of ours."""
        return bool(self.metadata.get(ATTACHED))
