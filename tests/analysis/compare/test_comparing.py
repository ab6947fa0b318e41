"""Groups of a synthetic hospital compared: figures by other ways, what is refused, and that nothing small gets out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.analysis.compare.cells import number
from cohorts.analysis.compare.comparing import compare
from cohorts.analysis.compare.comparison import MATCHED, REST, Asked, Comparison, Records
from cohorts.analysis.compare.groups import Members, group_of, rest_of
from cohorts.analysis.compare.matching import Match
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.compare.tables import found
from cohorts.analysis.history import endings
from cohorts.analysis.history.people import people_of
from cohorts.analysis.history.start import time_zero
from cohorts.errors import InputError
from cohorts.records.base import Unit
from cohorts.records.kept.reading import Kept
from cohorts.told_groups import forget

LEAST = 11
Compared = Callable[..., Comparison]


@pytest.fixture(scope="session")
def people(kept: Kept) -> pd.DataFrame:
    return people_of(kept)


@pytest.fixture
def records(kept: Kept, tmp_path: Path) -> Records:
    return Records(
        kept=kept,
        collection="stays",
        as_of="admission+24h",
        unit=Unit.ADMISSION,
        folder=tmp_path,
        synthetic=True,
    )


@pytest.fixture
def compared(records: Records) -> Compared:
    """Compare with these settings, of records with these."""

    def run(cohort: Members, against: Members | str | None = None, **more: object) -> Comparison:
        own = {name: more.pop(name) for name in ("as_of", "unit") if name in more}
        return compare(
            replace(records, **own),  # type: ignore[arg-type]
            Asked(cohort=cohort, against=against, **more),  # type: ignore[arg-type]
            lambda *_: None,
        )

    return run


def members(name: str, people: pd.DataFrame) -> Members:
    """Return the first admission of every patient among some rows."""
    first = people.drop_duplicates("patient_id")
    return Members(name, list(first.index), list(first["patient_id"]))


def drawn(people: pd.DataFrame, many: int, seed: int, name: str = "drawn") -> Members:
    first = people.drop_duplicates("patient_id")
    return members(name, first.iloc[np.random.default_rng(seed).permutation(len(first))[:many]])


def value(told: Comparison, sheet: str, measure: str, group: str, **where: object) -> float:
    rows = told.sheet(sheet)
    for name, wanted in {"measure": measure, "group": group, **where}.items():
        rows = rows[rows[name] == wanted]
    (found,) = rows["value"]
    return float(found)


def test_figures_are_those_of_the_records(people: pd.DataFrame, compared: Compared, kept: Kept) -> None:
    old = people[people["age"] >= 65]
    told = compared(members("old", old), REST, min_cell=1)
    assert told.groups == ("old", REST)
    first = old.drop_duplicates("patient_id")
    assert told.patients == (len(first), people["patient_id"].nunique() - len(first))
    assert value(told, "characteristics", "mean", "old", item="age, years") == pytest.approx(
        first["age"].mean()
    )
    women = first["sex"].eq("F").sum()
    assert value(told, "characteristics", "patients", "old", item="sex", level="F") == women
    there = first[first["discharged"] > first["admitted"] + pd.Timedelta(days=1)]
    assert value(told, "outcomes", "share", "old", item="death in hospital") == pytest.approx(
        there["died"].mean()
    )
    start = time_zero("admission+24h").of(people, kept)
    ending = endings.death(people, start, endings.followed(people).until)
    at = people.index.get_indexer(first.index)
    at = at[ending.at_risk[at]]
    dead = (ending.days[at] <= 30) & (ending.kinds[at] == endings.HAPPENED)
    # Nobody is censored within 30 days, so the curve's share is the plain one.
    assert value(told, "outcomes", "share", "old", item="death", at=30) == pytest.approx(dead.mean())
    days = told.sheet("courses")
    assert set(days["at"]) <= set(range(7))
    assert told.sheet("pathways")["at"].max() == 3


def test_a_cohort_alone_has_no_differences(people: pd.DataFrame, compared: Compared) -> None:
    told = compared(members("old", people[people["age"] >= 65]))
    assert set(told.figures["group"]) == {"old"}


@pytest.mark.parametrize("how", Match)
def test_a_match_balances_what_it_is_by(people: pd.DataFrame, compared: Compared, how: Match) -> None:
    old = people[people["age"] >= 70]
    told = compared(Members("old", *_some(old, 60)), MATCHED, match=how)
    assert told.patients[0] == told.patients[1] <= 60
    smd = told.sheet("balance").pivot(index="item", columns="group", values="value")
    assert smd["before"].abs()["age, years"] > 0.8
    assert smd["after"].abs()["age, years"] < 0.3
    assert told.groups[1] == "matched to old"
    far = [str(item) for item, smd in smd["after"].items() if abs(smd) > 0.1]
    assert [item in " ".join(told.notes) for item in far] == [True] * len(far)


def _some(people: pd.DataFrame, many: int) -> tuple[list[str], list[str]]:
    first = people.drop_duplicates("patient_id").iloc[:many]
    return list(first.index), list(first["patient_id"])


def test_endings_that_the_vectors_saw_are_left_out_refused_or_marked(
    people: pd.DataFrame, compared: Compared
) -> None:
    old = members("old", people[people["age"] >= 65])
    told = compared(old, REST, as_of="whole stay")
    assert set(told.sheet("outcomes")["item"]) == {"death", "readmission"}
    assert told.time_zero == "discharge"
    assert any(note.startswith("death-in-hospital is not told") for note in told.notes)
    with pytest.raises(
        InputError, match="death-in-hospital can't be compared: the vectors of stays have seen"
    ):
        compared(old, REST, as_of="whole stay", outcomes=["death-in-hospital"])
    marked = compared(old, REST, as_of="whole stay", outcomes=["death-in-hospital"], anyway=True, min_cell=1)
    assert marked.seen
    assert set(marked.sheet("outcomes")["item"]) == {"death in hospital"}
    with pytest.raises(InputError, match="readmission can't be compared: a vector for each patient"):
        compared(old, REST, unit=Unit.PATIENT, outcomes=["readmission"])


def test_what_can_not_be_compared_is_refused(people: pd.DataFrame, compared: Compared) -> None:
    old = members("old", people[people["age"] >= 65])
    with pytest.raises(InputError, match="few has fewer than 11 patients"):
        compared(drawn(people, 10, 0, "few"), REST)
    with pytest.raises(InputError, match="There is no outcome 'joy'"):
        compared(old, outcomes=["joy"])
    with pytest.raises(InputError, match="No member of strangers is in the records"):
        compared(Members("strangers", ["x"] * 20, [f"x{at}" for at in range(20)]))
    with pytest.raises(InputError, match="rest has no patients"):
        compared(members("everybody", people), REST)
    with pytest.raises(InputError, match="has no patients"):
        compared(old, replace(old, name="again"))
    two = compared(old, members("women", people[people["sex"] == "F"]))
    assert any("count in neither" in note for note in two.notes)


def test_two_groups_that_differ_by_one_patient_are_not_both_told(
    people: pd.DataFrame, compared: Compared, records: Records
) -> None:
    some = drawn(people, 100, 1)
    one_less = Members("one less", some.units[1:], some.patients[1:])
    compared(some, REST)
    compared(some, REST)  # the same again
    with pytest.raises(InputError, match="one less differs by fewer than 11 patients"):
        compared(one_less, REST)
    assert compared(one_less, REST, min_cell=1).patients[0] == 99  # for one's own eyes
    compared(Members("many less", some.units[12:], some.patients[12:]), REST)
    kept_files = list((records.folder / "told").iterdir())
    assert {file.stat().st_mode & 0o777 for file in kept_files} == {0o600}
    assert not any(some.patients[0].encode() in file.read_bytes() for file in kept_files)
    assert forget(records.folder, [some.patients[0]]) == 2  # and the rest of "many less"
    compared(one_less)  # after an erasure of that patient, who is in no rest either


def test_no_second_result_of_nearly_the_same_is_told(people: pd.DataFrame, compared: Compared) -> None:
    stays = people["patient_id"].value_counts()
    again = people[people["patient_id"].isin(stays.index[stays > 1])]
    some = Members("some", *_some(pd.concat([again, people]), 60))
    compared(some, REST, outcomes=["death"])
    with pytest.raises(InputError, match="some was compared before with another time zero or follow-up"):
        compared(some, REST, outcomes=["death"], follow_up=pd.Timedelta(days=91))
    rest = rest_of(group_of(some, people)[0], people, REST)
    others = people.iloc[rest.places[3:]]
    with pytest.raises(InputError, match="others differs by fewer than 11 patients"):
        compared(Members("others", list(others.index), list(others["patient_id"])))
    last = again.drop_duplicates("patient_id", keep="last")
    units = dict(zip(last["patient_id"], last.index, strict=True))
    other_stays = [units[one] for one in some.patients[:3]] + list(some.units[3:])
    with pytest.raises(InputError, match="later differs by fewer than 11 patients"):
        compared(Members("later", other_stays, some.patients))


def test_one_outcome_alone_is_told_no_closer(people: pd.DataFrame, compared: Compared) -> None:
    some = drawn(people, 160, 5)
    every = compared(some, as_of="admission+72h").figures
    one = compared(some, as_of="admission+72h", outcomes=["readmission"]).figures
    every, one = (all_[all_["item"] == "readmission"].reset_index(drop=True) for all_ in (every, one))
    assert len(one)
    pd.testing.assert_frame_equal(every, one)


def test_a_mean_does_not_tell_of_the_few_who_differ() -> None:
    few = np.array([0.0] * 40 + [2.0, 3.0])
    told = [*number("characteristics", "some", {"one": few}, SmallCells())]
    assert {row["text"] for row in told if row["measure"] != "missing"} == {"hidden"}
    many = np.array([0.0] * 40 + [2.0] * 11)
    assert next(number("characteristics", "some", {"one": many}, SmallCells()))["value"] == many.mean()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_small_can_be_rebuilt_from_what_is_told(
    people: pd.DataFrame, compared: Compared, kept: Kept, seed: int
) -> None:
    many = [12, 25, 40, 80, 160, 240][seed]
    told = compared(drawn(people, many, seed), REST, follow_up=pd.Timedelta(days=400))
    for name, all_ in zip(told.groups, told.patients, strict=True):
        mine = told.figures[told.figures["group"] == name]
        _check_counts(mine, all_)
        _check_flows(mine[mine["sheet"] == "pathways"], all_)
        _check_outcomes(told, name, all_)
    hidden = told.figures[told.figures["text"] == "hidden"]
    assert len(hidden) > 0
    assert hidden[["value", "low", "high"]].isna().all().all()


def _small(count: float) -> bool:
    return 0 < round(count) < LEAST


def _check_counts(figures: pd.DataFrame, many: int) -> None:
    """Levels add up, shares give counts away: neither a count nor what is left of it may be small."""
    counts = figures[(figures["measure"] == "patients") & (figures["sheet"] != "pathways")].dropna(
        subset=["value"]
    )
    assert not counts["value"].map(_small).any()
    for (sheet, _), levels in counts.groupby(["sheet", "item"]):
        left = many - levels["value"].sum()
        if sheet == "characteristics" and (levels["level"] != "").all():
            assert left == 0  # all levels stand there, alone or together
    shares = figures[(figures["measure"] == "share") & figures["sheet"].isin(["characteristics", "care"])]
    for row in shares.dropna(subset=["value"]).itertuples():
        same = counts[(counts["item"] == row.item) & (counts["level"] == row.level)]
        of = same["value"].iloc[0] / row.value if row.value else many
        assert not _small(many - of)  # who is missing
        assert not _small(of - same["value"].iloc[0])  # who is not
    missing = figures[figures["measure"] == "missing"].dropna(subset=["value"])
    assert not (missing["value"] * many).map(_small).any()


def _check_flows(flows: pd.DataFrame, many: int) -> None:
    """What goes into a step comes out of it, and every flow is large."""
    assert not flows["value"].map(_small).any()
    first = flows[flows["at"] == 1]
    if first["text"].eq("").all():
        assert first["value"].sum() == many
    for step in (2, 3):
        into = flows[flows["at"] == step - 1].groupby("level")["value"].sum()
        out = flows[flows["at"] == step].groupby("item")["value"].sum()
        for name in out.index:
            assert out[name] == into[name]


def _check_outcomes(told: Comparison, name: str, many: int) -> None:
    """What shares, curves and numbers at risk are of, and how many had it by each day: none or enough in between.

    Nobody is censored within 365 days, so that a share of those at risk is a count.
    """
    rows = told.figures[told.figures["group"] == name].dropna(subset=["value"])
    of = {"group": many}
    in_hospital = rows[(rows["sheet"] == "outcomes") & (rows["item"] == "death in hospital")].set_index(
        "measure"
    )
    if len(in_hospital):
        died, share = in_hospital["value"]["patients"], in_hospital["value"]["share"]
        of["there"] = round(died / share)
        of["left alive"] = of["there"] - died
    for item in ("death", "readmission"):
        own = rows[(rows["item"] == item) & rows["sheet"].isin(["curves", "outcomes"])]
        at_risk = own[own["measure"] == "at risk"].set_index("at")["value"]
        if 0 not in at_risk.index:
            continue
        of[item] = round(at_risk[0])
        shares = own[own["measure"].isin(["share", "without"])]
        gone = shares["value"].where(shares["measure"] == "share", 1 - shares["value"]) * at_risk[0]
        assert np.allclose(gone, gone.round())
        counts = gone.round().groupby(shares["at"]).first().sort_index()
        assert not any(map(_small, np.diff(counts)))
        assert not any(_small(at_risk[0] - one) for one in counts)
    assert not any(_small(abs(one - other)) for one in of.values() for other in of.values()), of


def test_a_report_begins_with_its_first_outcome(people: pd.DataFrame, compared: Compared) -> None:
    told = compared(members("old", people[people["age"] >= 65]), REST, min_cell=1)
    sentence = found(told)
    share = value(told, "outcomes", "share", "old", item="death in hospital")
    assert sentence.startswith(f"Death in hospital: {100 * share:.1f}\u00a0% of old and ")
    assert "points apart" in sentence
    assert "not effect" in sentence
