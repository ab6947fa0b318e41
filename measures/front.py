"""Settings against each other: on the front, and at equal recall with bootstrap intervals.

Values by query are (repeats, queries): the same queries in every repeat, so that two settings are compared query by
query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from cohorts.errors import InputError
from cohorts.measures.intervals import Estimate, Rows, Values, bootstrap, draw_queries, draw_repeats, limits


class Point(NamedTuple):
    """A setting by its recall and what it costs (ms) or yields (queries per second)."""

    name: str
    recall: float
    value: float


@dataclass(frozen=True, eq=False)
class Setting:
    """One point of a curve: `recall` and `latency_ms`, both (repeats, queries)."""

    name: str
    recall: Values
    latency_ms: Values


def front(points: Sequence[Point], *, larger_is_better: bool) -> list[Point]:
    """Return the points that no other one beats in both recall and value, by rising recall; of equals, the first."""
    sign = -1 if larger_is_better else 1
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, sign * point.value)):
        if not kept or sign * point.value < sign * kept[-1].value:
            kept.append(point)
    return kept[::-1]


def at_recall(points: Sequence[Point], recall: float, *, larger_is_better: bool) -> float | None:
    """Return the value at a recall, on straight lines between the points of the front; None beyond its ends."""
    kept = front(points, larger_is_better=larger_is_better)
    if not kept or not kept[0].recall <= recall <= kept[-1].recall:
        return None
    return float(np.interp(recall, [point.recall for point in kept], [point.value for point in kept]))


def speed_up_at(
    recall: float, base: Sequence[Setting], other: Sequence[Setting], *, seed: int = 0
) -> Estimate | None:
    """Return how many times faster `other` is than `base` at the same recall, each on its own front.

    Every draw makes both fronts anew. None where one of them does not reach the recall, or not in 95 % of the draws.
    Raises InputError where they are not of the same queries.
    """
    widths = {values.shape[1] for one in (*base, *other) for values in (one.recall, one.latency_ms)}
    if len(widths) != 1:
        raise InputError(
            f"Settings are compared query by query; these have {' and '.join(map(str, sorted(widths)))} queries."
        )
    measured = _ratio_at(recall, base, other)
    if measured is None:
        return None

    def drawn(rng: np.random.Generator) -> float | None:
        queries = draw_queries(rng, base[0].recall)
        return _ratio_at(recall, *([_redrawn(one, rng, queries) for one in side] for side in (base, other)))

    ratios = bootstrap(drawn, seed)
    told = [ratio for ratio in ratios if ratio is not None]
    return Estimate(measured, *limits(told)) if len(told) >= 0.95 * len(ratios) else None


def _ratio_at(recall: float, base: Sequence[Setting], other: Sequence[Setting]) -> float | None:
    slow, fast = (
        at_recall(
            [Point(one.name, float(one.recall.mean()), float(np.median(one.latency_ms))) for one in side],
            recall,
            larger_is_better=False,
        )
        for side in (base, other)
    )
    return None if slow is None or fast is None else slow / fast


def _redrawn(setting: Setting, rng: np.random.Generator, queries: Rows) -> Setting:
    repeats = draw_repeats(rng, setting.recall)
    return Setting(setting.name, setting.recall[repeats, queries], setting.latency_ms[repeats, queries])
