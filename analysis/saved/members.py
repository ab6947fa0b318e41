"""Who is in a cohort: the units that a filter passes, that some patients have, or that state a phenotype."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.patients import as_kept, patient_field, patients_of, points_of
from cohorts.errors import InputError
from cohorts.records.codes.phenotypes import load_phenotypes, stating
from cohorts.records.kept.reading import Kept, open_kept

_AT_ONCE = 1_000  # patients in one filter


@dataclass(frozen=True)
class Members:
    """Units and whose they are, side by side; `notes` tell what was left out. Scores where they were searched for."""

    units: tuple[str, ...]
    patients: tuple[str, ...]
    scores: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def by_filter(
    connector: Connector, collection: Collection, where: Filter, run_dir: Path, *, per_unit: bool
) -> Members:
    """Return who passes a filter, in the order of their ids."""
    units = sorted(chain.from_iterable(connector.find(collection.name, where)))
    return _members(connector, collection, units, run_dir, per_unit=per_unit)


def by_ids(
    connector: Connector, collection: Collection, ids: Sequence[str], run_dir: Path, *, per_unit: bool
) -> Members:
    """Return the patients of some ids that the collection holds, in the order given. Raises InputError where none."""
    asked = dict.fromkeys(ids)
    field = patient_field(collection)
    if field is None:
        found = _there(connector, collection.name, list(asked))
        made = Members(tuple(found), tuple(found))
    else:
        kept = [one for key in asked if (one := as_kept(collection, field, key)) is not None]
        units: list[str] = []
        for start in range(0, len(kept), _AT_ONCE):
            theirs = points_of(collection, field, kept[start : start + _AT_ONCE])
            units += chain.from_iterable(connector.find(collection.name, theirs))
        made = _members(connector, collection, sorted(units), run_dir, per_unit=per_unit, only=kept)
    lacking = len(asked) - len(set(made.patients))
    if not made.units:
        raise InputError(f"Collection {collection.name} holds none of the {len(asked):,} patients named.")
    notes = (f"{lacking:,} of {len(asked):,} ids are of no patient in the collection",) if lacking > 0 else ()
    return Members(made.units, made.patients, notes=notes)


def by_phenotype(
    connector: Connector, collection: Collection, name: str, run_dir: Path, *, per_unit: bool
) -> Members:
    """Return whose records, kept beside the collection, have a diagnosis that defines a phenotype.

    The whole of them counts, whatever window the vectors are of. Raises InputError.
    """
    check_phenotype(name)
    kept = open_events(collection, run_dir)
    units = sorted(_there(connector, collection.name, _stating(kept, name)))
    made = _members(connector, collection, units, run_dir, per_unit=per_unit)
    window = collection.metadata.get("as_of")
    note = f"diagnoses of the whole record count, though the vectors are of {window}" if window else ""
    return Members(made.units, made.patients, notes=(note,) if note else ())


def check_phenotype(name: str) -> None:
    """Raise InputError for no phenotype."""
    known = [one.name for one in load_phenotypes()]
    if name not in known:
        raise InputError(f"There is no phenotype {name[:80]!r}. There are: {', '.join(known)}.")


def open_events(collection: Collection, run_dir: Path) -> Kept:
    """Open the events beside a collection. Raises InputError: a collection of others has none."""
    if collection.attached:
        raise InputError(
            f"Collection {collection.name} belongs to others, and nothing of its patients' records stands beside it. "
            "Name its patients by a filter on its fields, or by their ids."
        )
    return open_kept(run_dir)


def _stating(kept: Kept, name: str) -> list[str]:
    found: dict[str, None] = {}
    for batch in kept.rows(("diagnosis",), ("unit_id", "kind", "system", "code")):
        rows = batch.to_pandas()
        found |= dict.fromkeys(rows.loc[stating(rows, [name], implied=False), "unit_id"])
    return list(found)


def _there(connector: Connector, name: str, units: Sequence[str]) -> list[str]:
    """Return those of some units that a collection holds, in their order: its ids are read, and no vector."""
    there = set(chain.from_iterable(connector.find(name)))
    return [one for one in units if one in there]


def _members(
    connector: Connector,
    collection: Collection,
    units: Sequence[str],
    run_dir: Path,
    *,
    per_unit: bool,
    only: Sequence[str] | None = None,
) -> Members:
    """Return units with their patients; of each patient the first admission, or, where that is not told, unit.

    With `only`, these patients in this order: others that share a unit with them are left out.
    """
    field = patient_field(collection)
    if field is None:
        return Members(tuple(units), tuple(units))
    wanted = set(units)
    pages = chain.from_iterable(connector.values(collection.name, field))
    owners = {key: patients_of(field, key, {field: value}) for key, value in pages if key in wanted}
    first = units if per_unit else _by_admission(collection, units, run_dir)
    pairs = [(unit, patient) for unit in first for patient in sorted(owners.get(unit, ())) or [unit]]
    if not per_unit:
        pairs = [
            (unit, patient) for patient, unit in {patient: unit for unit, patient in pairs[::-1]}.items()
        ]
    if only is not None:
        place = {patient: at for at, patient in enumerate(only)}
        pairs = sorted((pair for pair in pairs if pair[1] in place), key=lambda pair: place[pair[1]])
    else:
        pairs.sort(key=lambda pair: pair[0])
    return Members(tuple(unit for unit, _ in pairs), tuple(patient for _, patient in pairs))


def _by_admission(collection: Collection, units: Sequence[str], run_dir: Path) -> Sequence[str]:
    """Return units by when their admission began, where that is kept beside the collection; else as they are."""
    if collection.attached:
        return units
    try:
        kept = open_kept(run_dir)
    except InputError:
        return units
    mine = pc.field("unit_id").isin(pa.array(units, pa.string())) & pc.field("described")
    rows = kept.outcomes.to_table(columns=["unit_id", "admitted"], filter=mine)
    began: dict[str, Any] = dict(
        zip(*(rows[name].to_pylist() for name in ("unit_id", "admitted")), strict=True)
    )
    return sorted(units, key=lambda unit: (began.get(unit) is None, began.get(unit) or 0, unit))


def of_hits(field: str | None, hits: Iterable[Any]) -> Members:
    """Return the units that a search found, best first, one for each of their patients."""
    rows = [
        (hit.id, patient, float(hit.score))
        for hit in hits
        for patient in sorted(patients_of(field, hit.id, hit.payload)) or [hit.id]
    ]
    return Members(
        tuple(unit for unit, _, _ in rows),
        tuple(patient for _, patient, _ in rows),
        tuple(score for _, _, score in rows),
    )
