"""From when to when a unit belongs to its cohort: from the moment that its vector is of, to its discharge."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from cohorts.analysis.history.people import people_of
from cohorts.analysis.history.start import TimeZero
from cohorts.analysis.saved.members import open_events
from cohorts.connectors.base import Collection
from cohorts.records.window import ADMISSION, DISCHARGE, WHOLE_STAY, Moment, parse_window


def stays_of(units: Sequence[str], collection: Collection, run_dir: Path) -> dict[str, tuple[date, date]]:
    """Return the first and the last day of every unit's stay of which both are told, by the outcomes kept.

    It begins where the window of the vectors ends, and at admission where that is known at discharge: the stay itself
    is what the cohort is about. Raises InputError where nothing was kept, or the moment is not kept with it.
    """
    kept = open_events(collection, run_dir)
    seen = str(collection.metadata.get("as_of") or WHOLE_STAY)
    end = None if seen == WHOLE_STAY else parse_window(seen).end
    moment = Moment(ADMISSION) if end is None or end.anchor == DISCHARGE else end
    people = people_of(kept)
    people = people[people.index.isin(units)]
    begins, ends = TimeZero(moment, in_stay=True).of(people, kept), people["discharged"]
    told = begins.notna() & ends.notna()
    return {
        unit: (first.date(), last.date())
        for unit, first, last in zip(people.index[told], begins[told], ends[told], strict=True)
    }
