"""What happened after time zero, on patients whose story is written out."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from cohorts.analysis.history.endings import (
    CENSORED,
    COMPETED,
    HAPPENED,
    death,
    death_in_hospital,
    followed,
    readmission,
    stay,
)
from cohorts.analysis.history.start import time_zero
from cohorts.errors import InputError

COLUMNS = {
    "admitted": "datetime64[us]",
    "discharged": "datetime64[us]",
    "died": "boolean",
    "died_at": "datetime64[us]",
    "death": "datetime64[us]",
    "next_stay": "datetime64[us]",
    "last_contact": "datetime64[us]",
    "followed_until": "datetime64[us]",
}


def people(*rows: Mapping[str, object]) -> pd.DataFrame:
    """Return patients admitted on the first of March at noon for four days, but for what is told otherwise."""
    usual = {"admitted": "2101-03-01 12:00", "discharged": "2101-03-05 12:00", "died": False}
    told = [usual | {"last_contact": "2101-03-05 12:00"} | dict(row) for row in rows]
    frame = pd.DataFrame(told, columns=list(COLUMNS)).astype(COLUMNS)
    return frame.set_axis([str(at) for at in range(len(frame))])


DEAD_IN_HOSPITAL = {"died": True, "died_at": "2101-03-05 12:00", "death": "2101-03-05"}
DEAD_AT_HOME = {"death": "2101-03-15"}
DEAD_LATE = {"death": "2101-07-01"}
ALIVE: dict[str, object] = {"followed_until": "2101-06-03 12:00"}
NINETY = {"followed_until": "2101-06-03 12:00"}


def test_deaths_count_from_time_zero_up_to_where_they_would_be_known() -> None:
    some = people(DEAD_IN_HOSPITAL | NINETY, DEAD_AT_HOME | NINETY, DEAD_LATE | NINETY, ALIVE)
    start = some["admitted"] + timedelta(days=1)
    known = followed(some)
    assert "90 days after discharge" in known.rule
    ending = death(some, start, known.until)
    # A day of death counts at noon; the death after the follow-up is not known to the source of the living.
    np.testing.assert_allclose(ending.days, [3, 13, 93, 93])
    assert ending.kinds.tolist() == [HAPPENED, HAPPENED, CENSORED, CENSORED]


def test_who_had_died_or_left_when_time_began_is_not_at_risk() -> None:
    some = people(DEAD_IN_HOSPITAL | NINETY, ALIVE)
    at_discharge = death(some, some["discharged"], followed(some).until)
    assert at_discharge.at_risk.tolist() == [False, True]
    late = some["discharged"] + timedelta(hours=1)
    assert np.isnan(stay(some, late)).all()
    assert np.isnan(death_in_hospital(some, late)).all()
    early = some["admitted"] + timedelta(hours=1)
    assert stay(some, early).tolist() == [4, 4]
    assert death_in_hospital(some, early).tolist() == [1, 0]


def test_a_death_on_the_day_of_the_start_counts_half_way_to_its_end() -> None:
    some = people({"death": "2101-03-05"} | NINETY, ALIVE)
    ending = death(some, some["discharged"], followed(some).until)
    np.testing.assert_allclose(ending.days[0], 0.25)
    assert ending.kinds[0] == HAPPENED


def test_coming_back_lengthens_nobodys_follow_up() -> None:
    """Who comes back is alive: followed longer for it, a group would seem to live longer."""
    back = {"last_contact": "2102-03-05 12:00", "followed_until": "2102-06-03 12:00"}
    some = people(back, ALIVE)
    ending = death(some, some["discharged"], followed(some).until)
    np.testing.assert_allclose(ending.days, [90, 90])


def test_where_nobody_lives_the_dead_tell_how_long_deaths_are_known() -> None:
    some = people(DEAD_AT_HOME | NINETY, DEAD_LATE | NINETY)
    ending = death(some, some["discharged"], followed(some).until)
    assert ending.kinds.tolist() == [HAPPENED, CENSORED]
    until_death = people(
        DEAD_AT_HOME | {"followed_until": "2101-03-15"}, DEAD_LATE | {"followed_until": "2101-07-02"}
    )
    ending = death(until_death, until_death["discharged"], followed(until_death).until)
    assert ending.kinds.tolist() == [HAPPENED, HAPPENED]


def test_a_source_that_knows_no_follow_up_tells_no_death_after_discharge() -> None:
    some = people(DEAD_AT_HOME, DEAD_IN_HOSPITAL, {})
    known = followed(some)
    assert "does not tell" in known.rule
    ending = death(some, some["admitted"], known.until)
    assert ending.days.tolist() == [4, 4, 4]
    assert ending.kinds.tolist() == [CENSORED, HAPPENED, CENSORED]
    told = followed(some, timedelta(days=365))
    assert "the user's word" in told.rule
    ending = death(some, some["admitted"], told.until)
    assert ending.kinds.tolist() == [HAPPENED, HAPPENED, CENSORED]
    assert ending.days[2] == 369


def test_records_that_end_on_one_day_censor_on_it() -> None:
    some = people(
        {"followed_until": "2102-01-01"}, {"followed_until": "2102-01-01", "last_contact": "2101-12-01"}
    )
    known = followed(some)
    assert "records of a patient end" in known.rule
    assert (known.until == pd.Timestamp("2102-01-02")).all()  # the whole of the day


def test_readmission_is_looked_for_for_30_days_and_death_competes() -> None:
    some = people(
        {"next_stay": "2101-03-10 12:00"} | NINETY,
        {"next_stay": "2101-04-10 12:00"} | NINETY,  # 36 days later
        DEAD_AT_HOME | NINETY,
        {"next_stay": "2101-03-10 12:00"} | DEAD_AT_HOME | NINETY,  # came back, then died
        DEAD_IN_HOSPITAL | NINETY,
        ALIVE,
    )
    ending = readmission(some, followed(some).until)
    np.testing.assert_allclose(ending.days, [5, 30, 10, 5, np.nan, 30])
    assert ending.kinds[ending.at_risk].tolist() == [HAPPENED, CENSORED, COMPETED, HAPPENED, CENSORED]


@pytest.mark.parametrize(
    ("as_of", "words", "in_stay"),
    [
        ("admission+24h", "admission+24h", True),
        ("admission..icu+24h", "icu+24h", True),
        ("emergency_to", "emergency_to", True),
        ("seen_by_a_nurse", "", None),
        ("discharge-0h", "discharge", False),
        ("discharge-24h", "discharge", False),
        ("discharge+30d", "discharge+720h", False),
        ("whole stay", "discharge", False),
        ("", "discharge", False),
        ("admission..", "discharge", False),
        ("death-1d", "", None),
    ],
)
def test_time_begins_where_the_window_ends_and_never_before(
    as_of: str, words: str, in_stay: bool | None
) -> None:
    if in_stay is None:
        with pytest.raises(InputError, match="no moment before which an outcome can be told apart"):
            time_zero(as_of)
    else:
        zero = time_zero(as_of)
        assert (str(zero), zero.in_stay, zero.seen) == (words, in_stay, False)
    assert time_zero("whole stay", anyway=True).seen
    assert not time_zero("admission+24h", anyway=True).seen
