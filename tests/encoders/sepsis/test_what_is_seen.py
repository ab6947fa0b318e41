"""What of a hospital's records is in a septic stay: nothing from after the window, nothing of another admission."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.stays import Stays, seen, stays_of
from cohorts.records.base import CODE_COLUMNS, EVENT_COLUMNS, Batch, Unit, typed
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.window import Moment, Window

_DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen") / "tables"
    synthesize(folder, 400, seed=5)
    return folder


@pytest.fixture(scope="module", params=[Unit.ADMISSION, Unit.PATIENT])
def batch(
    request: pytest.FixtureRequest,
    one_batch: None,
    hospital: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Batch]:
    work = tmp_path_factory.mktemp("work")
    with open_source(
        "mimic3", hospital, unit=request.param, work_dir=work, quarantine_file=work / "bad.csv"
    ) as opened:
        (whole,) = opened.batches()
        yield whole


def changed(batch: Batch, end: "pd.Series[pd.Timestamp]") -> Batch:
    """Return a batch in which all that is later than each unit's `end` is another; a unit without one stays."""
    until, rng = pd.Series(end.to_numpy(), batch.units["unit_id"].to_numpy()), np.random.default_rng(0)

    def later(rows: pd.DataFrame, time: "pd.Series[pd.Timestamp]") -> np.ndarray:
        over = time.mask(time == time.dt.normalize(), time + _DAY)
        return (over > rows["unit_id"].map(until)).to_numpy(dtype=bool)

    def dropped(rows: pd.DataFrame, late: np.ndarray) -> pd.DataFrame:
        return rows[~(late & (rng.random(len(rows)) < 0.4))]

    values, notes, events, codes = batch.measurements, batch.notes, batch.events, batch.codes
    late = later(values, values["time"])
    values = dropped(values.assign(value=values["value"].mask(late, 3 * values["value"] + 7)), late)
    late = later(notes, notes["time"])
    notes = dropped(notes.assign(text=notes["text"].mask(late, "moribund")), late)
    late = later(events, events["stop"])
    events = events.assign(stop=events["stop"].mask(late), value=events["value"].mask(late, 999.0))
    events = events.assign(result=events["result"].mask(events["kind"] == "culture", "KLEBSIELLA"))
    events = dropped(events, later(events, events["time"]))
    of_stay = codes["admission_id"].isin(batch.units["admission_id"]) & (codes["kind"] == "diagnosis")
    coded = of_stay.to_numpy(dtype=bool) & codes["unit_id"].map(until).notna().to_numpy(dtype=bool)
    codes = dropped(codes.assign(stop=codes["stop"].mask(later(codes, codes["stop"]))), coded)
    codes = dropped(codes, later(codes, codes["time"]))
    # A culture and an antibiotic right after the window: with an older culture, it tells of an older infection.
    there = batch.units[["unit_id", "admission_id"]].assign(time=end.to_numpy() + pd.Timedelta(minutes=7))
    there = there.dropna()
    culture = typed(there.assign(kind="culture", code="BLOOD CULTURE"), EVENT_COLUMNS)
    drug = typed(there.assign(kind="drug", system="name", code="Vancomycin", route="IV"), CODE_COLUMNS)
    gone = batch.admissions["unit_id"].map(until) + pd.Timedelta(days=3)
    ends = {
        name: batch.admissions[name].mask(later(batch.admissions, batch.admissions[name]), gone)
        for name in ("discharged", "died_at", "death", "readmitted", "last_contact", "followed_until")
    }
    return replace(
        batch,
        units=batch.units.assign(died=True, stay_days=77.0, admissions=9, principal_code="0389"),
        measurements=values.reset_index(drop=True),
        notes=notes.reset_index(drop=True),
        events=pd.concat([events, culture], ignore_index=True),
        codes=pd.concat([codes, drug], ignore_index=True),
        admissions=batch.admissions.assign(**ends, discharge_location="X", died=True),
    )


def assert_same(first: Stays, second: Stays) -> None:
    assert first.ids.tolist() == second.ids.tolist()
    assert first.static.tobytes() == second.static.tobytes()
    assert first.steps.tolist() == second.steps.tolist()
    for name in ("stay", "variable", "step", "values"):
        assert getattr(first.cells, name).tobytes() == getattr(second.cells, name).tobytes()
    assert first.notes.text == second.notes.text
    assert first.notes.hours.tolist() == second.notes.hours.tolist()
    pd.testing.assert_frame_equal(first.about, second.about)


def of_units(stays: Stays, units: set[str]) -> Stays:
    return stays.take(np.flatnonzero([unit in units for unit in stays.ids.tolist()]))


@pytest.mark.parametrize("window", ["icu+24h", "admission+24h", "icu+48h", "onset+6h", "onset+24h"])
def test_whatever_happens_after_the_window_a_stay_is_the_same(batch: Batch, window: str) -> None:
    settings = Settings(window=window)
    stays, end = stays_of(batch, settings), seen(batch, settings)[2]
    assert len(stays) > 20
    other = stays_of(changed(batch, end), settings)
    if window.startswith("onset"):  # who is known to be septic only later may be so from another moment on
        other = of_units(other, set(stays.ids.tolist()))
    assert_same(stays, other)


def test_codes_tell_who_is_septic_and_nothing_else_that_is_later(batch: Batch) -> None:
    """By codes the infection may be found later than the window: hours since then would be below 0."""
    settings = Settings(by="codes")
    stays, end = stays_of(batch, settings), seen(batch, settings)[2]
    other = replace(changed(batch, end), codes=batch.codes)
    assert len(stays) > 20
    assert_same(stays, stays_of(other, settings))
    hours = stays.static[:, stays.static_names.index("infection:hours since suspicion")]
    assert np.nanmin(hours) >= 0


@pytest.mark.parametrize("hours", [12, 20, 30, 36])
def test_who_was_septic_at_an_onset_stays_so(batch: Batch, hours: int) -> None:
    """A day's prescription that becomes known at midnight may go with an older culture: it moves no onset back."""
    settings = Settings(window="onset+6h")
    moment = Moment("icu", timedelta(hours=hours))
    then, _ = Window(end=moment).cut(batch)
    first, end = stays_of(then, settings), seen(then, settings)[2]
    over = (end <= moment.of(batch).set_axis(end.index)).to_numpy(dtype=bool)
    known = set(batch.units["unit_id"][over])
    first = of_units(first, known)
    assert len(first) > 20
    assert_same(first, of_units(stays_of(batch, settings), set(first.ids.tolist())))


def test_another_admission_of_a_patient_is_not_in_the_stay(hospital: Path, tmp_path: Path) -> None:
    """Of whole patients the last admission is described: its stay is what it is in a source of admissions."""
    found = {}
    for unit in (Unit.ADMISSION, Unit.PATIENT):
        work = tmp_path / unit.value
        work.mkdir()
        with open_source(
            "mimic3", hospital, unit=unit, work_dir=work, quarantine_file=work / "bad.csv"
        ) as opened:
            parts = list(opened.batches())
            stays = Stays.join([stays_of(part, Settings()) for part in parts])
            units = pd.concat([part.units for part in parts]).set_index("unit_id")["admission_id"]
            found[unit] = replace(stays, ids=units.loc[stays.ids.tolist()].to_numpy(np.str_))
    patients, alone = found[Unit.PATIENT], found[Unit.ADMISSION]
    alone = alone.take(np.array([alone.ids.tolist().index(one) for one in patients.ids.tolist()]))
    charlson = [not name.startswith(("charlson", "sapsii")) for name in alone.static_names]
    np.testing.assert_array_equal(patients.static[:, charlson], alone.static[:, charlson])
    assert patients.steps.tolist() == alone.steps.tolist()
    assert patients.cells.values.tobytes() == alone.cells.values.tobytes()
    assert patients.notes.text == alone.notes.text
    assert (patients.static != alone.static).any()  # diagnoses of earlier admissions
