"""What is stored beside the vectors of an experiment: the payload that an ingest would store, with its indexes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import FieldType, PayloadValue
from cohorts.connectors.filters.reading import known_fields
from cohorts.errors import InputError
from cohorts.loaders.points.payload import FIELDS, FILTERABLE

Column = npt.NDArray[np.object_]

_CODES, _PHENOTYPES = 1_000, 13  # of which some are common and most are rare
_OF_A_PATIENT = 9


@dataclass(frozen=True, eq=False)
class PayloadColumns:
    """Payload keys and their n values each; `fields` are those to filter by, `unindexed` those without an index."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    unindexed: tuple[str, ...] = ()

    @property
    def told(self) -> str | None:
        """Return how much is stored and what of it is indexed, in words; None for nothing."""
        if not self.columns:
            return None
        many, indexed = len(self.columns), [name for name in self.fields if name not in self.unindexed]
        return f"{many} field{'s' if many > 1 else ''}, indexed: {', '.join(indexed) or 'none'}"


def column(values: Iterable[PayloadValue], rows: int) -> Column:
    """Return values, of which some may be lists, as an array (rows,)."""
    return np.fromiter(values, object, rows)


def without(fields: Iterable[str], indexed: Sequence[str] | None) -> tuple[str, ...]:
    """Return the fields that get no index; None for `indexed` is all of them. Raises InputError for one not there."""
    fields = [*fields]
    if indexed is None:
        return ()
    strange = next((name for name in indexed if name not in fields), None)
    if strange is not None:
        raise InputError(f"There is no field {strange!r} to index. {known_fields(strange, fields)}")
    return tuple(name for name in fields if name not in indexed)


def made_up(rows: int, seed: Sequence[int], indexed: Sequence[str] | None) -> PayloadColumns:
    """Draw payloads as an ingest stores them, of patients who are invented. Raises InputError as `without` does."""
    unindexed, rng = without(FILTERABLE, indexed), np.random.default_rng(seed)
    numbers = (_CODES * rng.random((rows, _OF_A_PATIENT)) ** 3).astype(np.int64)
    names = [f"{100 + number // 10}{number % 10}" for number in range(_CODES)]
    values: dict[str, Iterable[PayloadValue]] = {
        "patient_id": (str(10_000_000 + row) for row in range(rows)),
        "admission_id": (None for _ in range(rows)),
        "admissions": rng.geometric(0.7, rows).tolist(),
        "age": rng.integers(18, 91, rows).astype(np.float64).tolist(),
        "sex": np.array(["F", "M"])[rng.integers(0, 2, rows)].tolist(),
        "died": (rng.random(rows) < 0.1).tolist(),
        "icu_days": rng.exponential(3, rows).round(2).tolist(),
        "principal_system": ("ICD-9" for _ in range(rows)),
        "principal_code": (names[first] for first in numbers[:, 0]),
        "principal_title": (f"Invented condition {first}" for first in numbers[:, 0]),
        "phenotype": (f"invented_{first % _PHENOTYPES}" for first in numbers[:, 0]),
        "codes": (_with_categories([names[number] for number in own]) for own in numbers.tolist()),
        "phenotypes": ([f"invented_{first % _PHENOTYPES}"] for first in numbers[:, 0]),
    }
    return PayloadColumns(
        {name: column(own, rows) for name, own in values.items()},
        {name: FIELDS[name] for name in FILTERABLE},
        unindexed,
    )


def _with_categories(codes: Sequence[str]) -> list[str]:
    return sorted({*codes, *(code[:3] for code in codes)})
