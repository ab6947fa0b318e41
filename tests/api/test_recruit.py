"""Recruitment: what is told of every criterion is what a slow reading of the source's own tables tells."""

import csv
import itertools
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from cohorts.analysis.recruit.funnel import funnel
from cohorts.analysis.recruit.profile import Criterion, Profile, read_profile
from cohorts.analysis.recruit.reviewed import read_review
from cohorts.errors import InputError
from cohorts.records.codes.phenotypes import phenotype_of
from hypothesis import given, settings
from hypothesis import strategies as st

PROFILE = """
title = "Failing hearts whose kidneys worsen"
text = "worsening heart failure, leg oedema"

[[include]]
name = "heart failure"
phenotype = "heart_failure"

[[include]]
name = "creatinine rose"
laboratory = "creatinine"
rise_percent = 50
within = "3d"

[[include]]
name = "potassium"
laboratory = "Potassium"
above = 4.5
below = 5.5
last = "2d"

[[exclude]]
name = "diuretic"
drug = "Lasix"
last = "36h"

[[exclude]]
name = "diabetes"
code = ["250", "E11"]
"""


@pytest.fixture(scope="module")
def tables(hospital: Path) -> dict[str, pd.DataFrame]:
    with cohorts.open_source("mimic3", hospital) as source:
        batches = list(source.batches())
    return {
        name: pd.concat(getattr(one, name) for one in batches)
        for name in ("codes", "measurements", "admissions")
    }


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profile") / "profile.toml"
    file.write_text(PROFILE)
    return file


@pytest.fixture(scope="module")
def rows(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, list[Any]]]:
    """The rows of every patient, by table."""
    return {
        name: {str(key): list(some.itertuples()) for key, some in frame.groupby("unit_id")}
        for name, frame in tables.items()
    }


def slowly(tables: dict[str, dict[str, list[Any]]], patient: str, before: datetime | None) -> dict[str, str]:
    """Tell the status of every criterion of the profile for a patient, one row after the other."""
    ends, ended = {}, []
    for stay in tables["admissions"][patient]:
        if before is None or stay.admitted < before:
            ends[stay.admission_id] = stay.discharged
            ended.append(stay.admitted if before and stay.discharged >= before else stay.discharged)
    until = max(ended)
    rows = [
        (
            row.kind,
            row.system,
            row.code,
            row.time if pd.notna(row.time) else ends.get(row.admission_id, pd.NaT),
        )
        for row in tables["codes"].get(patient, ())
    ]
    rows = [row for row in rows if before is None or (pd.notna(row[3]) and row[3] < before)]
    measured = sorted(
        (row.time, row.item, row.value)
        for row in tables["measurements"].get(patient, ())
        if row.kind == "laboratory" and pd.notna(row.value) and (before is None or row.time < before)
    )

    def coded(kind: str, fits: Any) -> str:
        of_kind = [row for row in rows if row[0] == kind]
        return "met" if any(map(fits, of_kind)) else "not met" if of_kind else "unknown"

    def states(row: tuple[Any, ...]) -> bool:
        return phenotype_of(row[1], row[2]) == "heart_failure"

    creatinine = [(time, value) for time, item, value in measured if item == "Creatinine"]
    pairs = [
        now >= 1.5 * then
        for (before_, then), (after, now) in itertools.combinations(creatinine, 2)
        if timedelta(0) < after - before_ <= timedelta(days=3)
    ]
    potassium = [
        4.5 < value < 5.5
        for time, item, value in measured
        if item == "Potassium" and time >= until - timedelta(days=2)
    ]
    return {
        "heart failure": coded("diagnosis", states),
        "creatinine rose": "met" if any(pairs) else "not met" if pairs else "unknown",
        "potassium": "met" if any(potassium) else "not met" if potassium else "unknown",
        "diuretic": coded(
            "drug", lambda row: row[2].lower() == "furosemide" and row[3] >= until - timedelta(hours=36)
        ),
        "diabetes": coded("diagnosis", lambda row: row[2].startswith(("250", "E11"))),
    }


@pytest.mark.parametrize("as_of", [None, "before the end"])
def test_every_criterion_is_told_as_a_slow_reading_tells_it(
    notes: cohorts.CollectionHandle,
    tables: dict[str, pd.DataFrame],
    rows: dict[str, dict[str, list[Any]]],
    profile: Path,
    as_of: str | None,
) -> None:
    days = tables["admissions"]["discharged"].sort_values()
    day: date | None = None if as_of is None else days.iloc[len(days) * 4 // 5].date()
    before = None if day is None else datetime.combine(day, datetime.min.time()) + timedelta(days=1)
    begun = tables["admissions"]["admitted"] < before if before else tables["admissions"]["admitted"].notna()
    people = sorted(tables["admissions"][begun]["patient_id"].unique())
    truth = {patient: slowly(rows, patient, before) for patient in people}
    found = notes.recruit(profile, 1_000, as_of=day, min_cell=1)
    assert found.screened == len(people)
    eligible = {
        patient
        for patient, told in truth.items()
        if "not met" not in (told["heart failure"], told["creatinine rose"], told["potassium"])
        and "met" not in (told["diuretic"], told["diabetes"])
    }
    near = {
        patient
        for patient, told in truth.items()
        if [told[name] for name in ("heart failure", "creatinine rose", "potassium")].count("not met") == 1
        and "met" not in (told["diuretic"], told["diabetes"])
    }
    assert found.patients[: len(eligible)] == notes.recruit(profile, len(eligible), as_of=day).patients
    assert set(found.patients[: len(eligible)]) == eligible != set()
    assert set(found.patients[len(eligible) :]) == near, "behind them, who misses one of three"
    for one in found.candidates:
        assert {verdict.criterion: verdict.status for verdict in one.verdicts} == truth[one.patient]
    for step in found.funnel:
        wrong = "met" if step.role == "exclude" else "not met"
        assert step.alone == sum(told[step.criterion] != wrong for told in truth.values())
        assert step.unknown == sum(told[step.criterion] == "unknown" for told in truth.values())
    assert found.funnel[-1].left == len(eligible)
    order = [(one.missed, one.unknown) for one in found.candidates]
    assert order == sorted(order), "of whom all is known stands before of whom it is not"
    by_text = {hit.id: hit.score for hit in notes.like_text("worsening heart failure, leg oedema", 90)}
    assert [one.score for one in found.candidates] == pytest.approx(
        [by_text[one.patient] for one in found.candidates], abs=2e-6
    )


def test_a_value_that_met_is_told_with_its_day(
    notes: cohorts.CollectionHandle, tables: dict[str, pd.DataFrame]
) -> None:
    high = Criterion(laboratory="creatinine", above=3, unit="mg/dL")
    found = notes.recruit(Profile(include=(high,), exclude=(Criterion(where="age < 50 or sex = 'F'"),)), 90)
    values = tables["measurements"]
    for one in found.candidates:
        mine = values[(values["unit_id"] == one.patient) & (values["item"] == "Creatinine")]
        told = one.verdicts[0]
        if told.status == "met":
            last = mine[mine["value"] > 3].sort_values("time").iloc[-1]
            assert (told.value, told.time) == (last["value"], last["time"])
            assert told.told_by == f"creatinine {told.value:g} mg/dL ({told.time:%Y-%m-%d})"
        else:
            assert (told.status, len(mine.dropna(subset="value"))) == ("unknown", 0)
        assert one.verdicts[1].status == "not met"
    assert any(one.unknown == 0 for one in found.candidates)
    with_other_unit = Profile(include=(Criterion(laboratory="creatinine", above=3, unit="umol/L"),))
    assert all(one.unknown == 1 for one in notes.recruit(with_other_unit, 90).candidates)


def cells_told(fails: npt.NDArray[np.bool_], min_cell: int) -> list[set[int]]:
    """Return, for each group by who fails which of two criteria, all sizes that agree with what is shown of them."""
    names = [("include", "a"), ("include", "b")]
    shown, (a, b) = funnel(names, list(fails), [np.zeros(fails.shape[1], bool)] * 2, min_cell)
    possible: list[set[int]] = [set(), set(), set(), set()]
    many = fails.shape[1]
    for both, only_a, only_b in itertools.product(range(many + 1), repeat=3):  # who pass
        neither = many - both - only_a - only_b
        if neither < 0:
            continue
        told = (
            (shown, many),
            (a.left, both + only_a),
            (a.alone, both + only_a),
            (b.left, both),
            (b.alone, both + only_b),
        )
        if all(one is None or one == is_ for one, is_ in told):
            for sizes, size in zip(possible, (both, only_a, only_b, neither), strict=True):
                sizes.add(size)
    return possible


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=24))
def test_no_small_group_can_be_told_from_the_counts_shown(rows: list[tuple[bool, bool]]) -> None:
    min_cell = 4
    for sizes in cells_told(np.array(rows).T, min_cell):
        assert not (len(sizes) == 1 and 1 <= min(sizes) < min_cell)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[include]]\n", "has none"),
        ('[[include]]\ndrug = "x"\nphenotype = "sepsis"', "phenotype and drug"),
        ('[[include]]\nphenotype = "headache"', "there is no phenotype 'headache'; there are"),
        ('[[include]]\nlaboratory = "creatinine"', "must have above, below"),
        ('[[include]]\nlaboratory = "x"\nabove = 1\nrise_percent = 5', "must have above, below"),
        ('[[include]]\ndrug = "x"\nlast = "soon"', "as in 36h or 90d"),
        ('[[include]]\nwhere = "age >="', "filter"),
        ('[[include]]\ndrug = "x"\n[[exclude]]\ndrug = "x"', "two criteria are called 'x'"),
        ("k = 3", "'k', which is not known"),
        ("", "it asks for nothing"),
        ("[[", "is no TOML"),
    ],
)
def test_a_profile_that_can_not_be_used_says_why(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(InputError) as refusal:
        read_profile(file)
    assert told in str(refusal.value)


def test_a_reviewed_list_tells_its_precision_with_interval(
    notes: cohorts.CollectionHandle, tmp_path: Path
) -> None:
    found = notes.recruit(Profile(text="pneumonia with fever", include=(Criterion(where="age >= 40"),)), 12)
    file = tmp_path / "review.csv"
    found.write(file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="There is a file"):
        found.write(file)
    with pytest.raises(InputError, match="has an answer in column reviewer"):
        read_review(file)
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["patient"] for row in rows] == list(found.patients)
    for row, answer in zip(
        rows, ["yes", "no", "", "Yes", "y", "1", "0", "NO", "yes", "", "", ""], strict=True
    ):
        row["reviewer"] = answer
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[::-1])  # a spreadsheet may have sorted them
    five, ten, every = read_review(file)
    assert (five.among, five.judged, five.right) == (5, 4, 3)
    assert (ten.judged, ten.right, every.right) == (8, 5, 5)
    assert (round(five.share.low, 4), round(five.share.high, 4)) == (0.3006, 0.9544)  # Wilson, 3 of 4
    file.write_text(file.read_text().replace(",NO,", ",perhaps,"))
    with pytest.raises(InputError, match="at rank 8 that is neither yes nor no"):
        read_review(file)


def test_passages_are_read_from_the_source_up_to_the_day(
    notes: cohorts.CollectionHandle, hospital: Path, profile: Path
) -> None:
    found = notes.recruit(profile, k=10)
    with cohorts.open_source("mimic3", hospital) as source:
        own = {
            patient: " ".join(" ".join(text.split()) for text in some)
            for batch in source.batches()
            for patient, some in batch.notes.groupby("unit_id")["text"]
        }
        read = found.evidence(source)
        told = [(patient, one) for patient, one in zip(found.patients, read, strict=True) if one]
        assert told
        assert all(one.text.rstrip("…") in own[patient] for patient, one in told)
        assert {word for _, one in told for word in one.words} & {"heart", "leg", "oedema", "worsening"}
        assert not any(one.text in repr(found) + repr(read) for _, one in told)
        days = sorted(one.time[:10] for _, one in told)
        day = days[len(days) // 2]
        early = notes.recruit(profile, k=10, as_of=day).evidence(source)
        assert any(early)
        assert all(one.time[:10] <= day for one in early if one)
    with (
        cohorts.open_source("mimic3", hospital, unit="admission") as source,
        pytest.raises(InputError, match="from a source of patients"),
    ):
        found.evidence(source)
