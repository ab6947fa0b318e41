"""How much of a source's codes the concept maps know, by kind and vocabulary, and the commonest that none knows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch, Source
from cohorts.records.codes.concepts.applied import Maps, distinct_codes, distinct_items
from cohorts.records.codes.concepts.base import KINDS, ConceptMap, Key
from cohorts.records.transforms import View

if TYPE_CHECKING:
    import pandas as pd

LEAST_PATIENTS = 11  # that a code which is told by itself must have: small cells are hidden
SHOWN = 50


class Met(NamedTuple):
    """What a row is known by."""

    kind: str
    keys: tuple[Key, ...]

    @property
    def system(self) -> str:
        """Return its vocabulary: of what may be known in two ways, the one that it always has."""
        return self.keys[-1][0]


@dataclass(frozen=True)
class Share:
    """What one map knows of one vocabulary: of `rows` rows and `distinct` codes, and how many have `several` concepts.

    `map` is "" where no map has codes of the vocabulary.
    """

    kind: str
    system: str
    rows: int
    distinct: int
    map: str
    version: str
    mapped_rows: int
    mapped_distinct: int
    several: int


@dataclass(frozen=True)
class Unmapped:
    """A code, or a name, that no map knows."""

    kind: str
    system: str
    code: str
    rows: int
    patients: int


@dataclass(frozen=True)
class Coverage:
    """Shares by kind, vocabulary and map; the commonest codes without a concept, and how many others there are."""

    shares: tuple[Share, ...]
    unmapped: tuple[Unmapped, ...]
    not_shown: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as lists and numbers, for JSON."""
        return asdict(self)


class Counting(View):
    """A source that counts, while it is read, what its rows are known by; each pass counts anew."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._rows: Counter[Met] = Counter()
        self._patients: Counter[Met] = Counter()

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        self._rows.clear()
        self._patients.clear()
        for batch in self._source.batches():
            if len(batch.codes):
                self._count(batch.units, batch.codes, *distinct_codes(batch.codes))
            if len(batch.measurements):
                self._count(batch.units, batch.measurements, *distinct_items(batch.measurements))
            yield batch

    def coverage(self, maps: Maps, shown: int = SHOWN) -> Coverage:
        """Return what these maps know of the rows met, and at most so many codes of a kind that none knows."""
        unknown = [met for met in self._rows if not maps.of(*met)]
        unknown.sort(key=lambda met: (met.kind, -self._rows[met], met.keys))
        told = [
            Unmapped(met.kind, met.system, met.keys[-1][1], self._rows[met], self._patients[met])
            for met in unknown
            if self._patients[met] >= LEAST_PATIENTS
        ]
        first = [one for _, of_kind in groupby(told, lambda one: one.kind) for one in islice(of_kind, shown)]
        return Coverage(tuple(self._shares(maps)), tuple(first), len(unknown) - len(first))

    def _shares(self, maps: Maps) -> Iterator[Share]:
        for (kind, system), met in groupby(sorted(self._rows, key=_vocabulary), _vocabulary):
            of_it = list(met)
            suited = [one for one in maps.maps if system in one.covers.get(kind, ())]
            if not suited:
                yield self._share(kind, system, of_it, None)
            yield from (self._share(kind, system, of_it, one) for one in suited)

    def _share(self, kind: str, system: str, met: Sequence[Met], one: ConceptMap | None) -> Share:
        many = {each: len(one.of(*each)) if one else 0 for each in met}
        return Share(
            kind=kind,
            system=system,
            rows=self._sum(met),
            distinct=len(met),
            map=one.name if one else "",
            version=one.version if one else "",
            mapped_rows=self._sum(each for each in met if many[each]),
            mapped_distinct=sum(count > 0 for count in many.values()),
            several=sum(count > 1 for count in many.values()),
        )

    def _sum(self, met: Iterable[Met]) -> int:
        return sum(self._rows[each] for each in met)

    def _count(
        self,
        units: "pd.DataFrame",
        rows: "pd.DataFrame",
        told: Sequence[tuple[str, Sequence[Key]]],
        which: npt.NDArray[np.intp],
    ) -> None:
        """Count rows, and patients, who stand in one batch each."""
        import pandas as pd

        patient, patients = pd.factorize(units["patient_id"])
        owner = patient[pd.Index(units["unit_id"]).get_indexer(pd.Index(rows["unit_id"]))]
        of_patients = np.unique(which * len(patients) + owner) // max(1, len(patients))
        many, whose = (np.bincount(places, minlength=len(told)) for places in (which, of_patients))
        for place, (kind, keys) in enumerate(told):
            if kind in KINDS:
                met = Met(kind, tuple(keys))
                self._rows[met] += int(many[place])
                self._patients[met] += int(whose[place])


def coverage(source: Source, maps: Maps, shown: int = SHOWN) -> Coverage:
    """Read a source, and return what the maps know of its diagnoses, procedures, drugs and laboratory items."""
    counting = Counting(source)
    for _ in counting.batches():
        pass
    return counting.coverage(maps, shown)


def mapped_rows(found: Coverage) -> Mapping[str, dict[str, Any]]:
    """Return by kind, vocabulary and map how many rows there are, and how many the map knows: for a manifest."""
    return {
        " ".join(filter(None, (one.kind, one.system, one.map))): {
            "rows": one.rows,
            "mapped": one.mapped_rows,
            "version": one.version,
        }
        for one in found.shares
    }


def _vocabulary(met: Met) -> tuple[str, str]:
    return met.kind, met.system
