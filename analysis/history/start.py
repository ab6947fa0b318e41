"""When a patient's time begins: where the vectors' window ends, so that no ending that follows is in the vectors."""

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
from cohorts.analysis.history.people import as_batch
from cohorts.errors import InputError
from cohorts.records.kept.reading import Kept
from cohorts.records.window import ADMISSION, DISCHARGE, ICU, WHOLE_STAY, Moment, parse_window

_IN_STAY = frozenset({ADMISSION, "admitted", ICU, "emergency_from", "emergency_to"})
_AT_DISCHARGE = frozenset({DISCHARGE, "discharged"})
_ANYWAY = Moment(ADMISSION)


@dataclass(frozen=True)
class TimeZero:
    """The moment from which outcomes count; `in_stay`: it lies before discharge, so that the stay's end is an outcome.

    `seen` says that the vectors may have seen what follows: it was asked for anyway.
    """

    moment: Moment
    in_stay: bool
    seen: bool = False

    def __str__(self) -> str:
        """Return it in words."""
        return (
            "discharge" if self.moment.anchor in _AT_DISCHARGE and not self.moment.after else str(self.moment)
        )

    def of(self, people: pd.DataFrame, kept: Kept) -> "pd.Series[pd.Timestamp]":
        """Return it for every unit, by `unit_id`; missing where a time is that it takes."""
        batch = as_batch(people, kept, icu=self.moment.anchor == ICU)
        return pd.Series(self.moment.of(batch).to_numpy(), people.index)


def time_zero(as_of: str, *, anyway: bool = False) -> TimeZero:
    """Return when time begins in a collection whose vectors see the records `as_of`; "" is of others: all may be seen.

    `anyway` begins at the admission, whatever the vectors saw. Raises InputError for a window that ends at what is
    known later, or at a column that is not kept.
    """
    window = None if as_of in ("", WHOLE_STAY) else parse_window(as_of)
    end = window.end if window else None
    if end is not None and end.anchor in _IN_STAY:
        return TimeZero(end, in_stay=True)
    if anyway:
        return TimeZero(_ANYWAY, in_stay=True, seen=True)
    if end is None:
        return TimeZero(Moment(DISCHARGE), in_stay=False)
    if end.anchor in _AT_DISCHARGE:
        # A window that ends some hours before is known by the discharge, so nothing counts until then.
        return TimeZero(Moment(DISCHARGE, max(end.after, timedelta())), in_stay=False)
    raise InputError(
        f"The vectors see the records up to {end}, which is no moment before which an outcome can be told apart.",
        remedy="Ingest the source with a window that ends at one, as admission+24h.",
        hint="window_of_outcomes",
    )
