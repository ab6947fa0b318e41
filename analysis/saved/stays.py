"""From when to when a unit belongs to its cohort: from the moment that its vector is of, to its discharge."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
from cohorts.analysis.saved.members import open_events
from cohorts.connectors.base import Collection
from cohorts.errors import InputError
from cohorts.records.base import ADMISSION_COLUMNS
from cohorts.records.kept.reading import Kept
from cohorts.records.window import ADMISSION, DISCHARGE, ICU, WHOLE_STAY, Moment, parse_window


class Stay(NamedTuple):
    """When a unit's stay begins to count, and when it ends; None where it is not told."""

    begins: datetime | None
    ends: datetime | None


def stays_of(units: Sequence[str], collection: Collection, run_dir: Path) -> dict[str, Stay]:
    """Return the stay of every unit of which an admission is told, by the outcomes kept beside a collection.

    It begins where the window of the vectors ends, and at admission where that is the whole stay. Raises InputError
    where nothing was kept, or the moment is not kept with it.
    """
    kept = open_events(collection, run_dir)
    seen = str(collection.metadata.get("as_of") or WHOLE_STAY)
    moment = None if seen == WHOLE_STAY else parse_window(seen).end
    moment = moment or Moment(ADMISSION)
    if moment.anchor == DISCHARGE:
        moment = Moment(ADMISSION)  # known at discharge: the stay itself is what the cohort is about
    column = {ADMISSION: "admitted", ICU: "admitted"}.get(moment.anchor, moment.anchor)
    if not ADMISSION_COLUMNS.get(column, "").startswith("datetime"):
        raise InputError(
            f"The vectors of {collection.name} are of {seen}, and {column!r} is not kept with the outcomes: when a "
            "stay begins to count is not known."
        )
    wanted = pc.field("unit_id").isin(list(units)) & pc.field("described")
    columns = list(dict.fromkeys(["unit_id", "admission_id", column, "discharged"]))
    rows = kept.outcomes.to_table(columns=columns, filter=wanted).to_pylist()
    icu = _first_icu(kept, units) if moment.anchor == ICU else None
    return {row["unit_id"]: _stay(row, column, moment.after, icu) for row in rows}


def _stay(row: dict[str, Any], column: str, after: timedelta, icu: dict[Any, Any] | None) -> Stay:
    begins = row[column] if icu is None else icu.get((row["unit_id"], row["admission_id"]))
    return Stay(None if begins is None else begins + after, row["discharged"])


def _first_icu(kept: Kept, units: Sequence[str]) -> dict[Any, Any]:
    """Return when the first stay in intensive care began, by unit and admission."""
    wanted = (pc.field("kind") == "icu stay") & pc.field("unit_id").isin(list(units))
    rows = kept.events.to_table(columns=["unit_id", "admission_id", "time"], filter=wanted)
    first = rows.group_by(["unit_id", "admission_id"]).aggregate([("time", "min")]).to_pylist()
    return {(row["unit_id"], row["admission_id"]): row["time_min"] for row in first}
