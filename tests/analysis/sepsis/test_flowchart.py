"""The flow chart: what it shows, and that no step gives a few patients away."""

import pytest
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.sepsis.flowchart import Excluded, Group, Step, shown

CELLS = SmallCells(11)


def flow(*steps: tuple[int, int]) -> list[Excluded]:
    """Return steps by who was left out and who remained, each stay of a patient of its own."""
    return [
        Excluded(f"reason {place}", Group(gone, gone), Group(left, left))
        for place, (gone, left) in enumerate(steps)
    ]


def told(everybody: int, *steps: tuple[int, int]) -> list[tuple[int | None, int | None]]:
    _, made = shown(Group(everybody, everybody), flow(*steps), CELLS)
    return [(one.left_out, one.remaining) for one in made]


def test_large_counts_are_shown() -> None:
    assert told(100, (20, 80), (0, 80), (30, 50)) == [(20, 80), (0, 80), (30, 50)]


def test_few_left_out_hide_themselves_and_what_they_could_be_worked_out_by() -> None:
    assert told(100, (1, 99), (30, 69), (20, 49)) == [(None, None), (None, 69), (20, 49)]
    assert told(100, (20, 80), (10, 70)) == [(20, 80), (None, None)]
    assert told(100, (4, 96), (7, 89)) == [(None, None), (None, None)]


def test_few_who_remain_are_hidden() -> None:
    assert told(100, (95, 5), (0, 5)) == [(None, None), (0, None)]
    assert told(100, (100, 0)) == [(100, 0)]
    assert shown(Group(8, 8), flow((0, 8)), CELLS)[0] is None


def test_patients_are_counted_and_not_their_stays() -> None:
    step = Excluded("many stays of a few", Group(30, 4), Group(70, 50))
    assert shown(Group(100, 54), [step], CELLS) == (
        100,
        [Step(reason="many stays of a few", left_out=None, remaining=None)],
    )


@pytest.mark.parametrize("least", [1])
def test_with_1_everything_is_shown(least: int) -> None:
    made = shown(Group(10, 10), flow((1, 9), (2, 7)), SmallCells(least))[1]
    assert [(one.left_out, one.remaining) for one in made] == [(1, 9), (2, 7)]
