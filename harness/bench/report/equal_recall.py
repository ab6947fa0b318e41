"""Settings at equal recall: what each kind of index in each store costs there, on the front of its own settings.

Equal parameters are not equal work: an `ef_search` of one engine finds more than that of another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from cohorts.harness.bench.report.run_table import EQUAL, SETTINGS, figure, of_store
from cohorts.measures.front import Point, Setting, at_recall, front, speed_up_at
from cohorts.measures.intervals import UNTOLD
from cohorts.reports.csv_table import wide
from cohorts.reports.formats import HELD, interval, number
from cohorts.reports.long_table import Record, chosen

RECALLS = (0.9, 0.95, 0.99, 0.999)
_Rival = tuple[str, str]  # store, kind of index


def at_equal_recall(
    run: pd.DataFrame, samples: Mapping[str, Setting], ks: Sequence[int], recalls: Sequence[float] = RECALLS
) -> Iterator[Record]:
    """Yield what every kind of index in every store costs at every recall, by k, between its settings.

    Settings are those with one client and no filter; `samples` hold their queries, by the column `setting`. `p50_ms`
    and `qps` have no value where it was not measured below and above; "all above" where all on the front find more.
    `speed_up` tells how many times faster by the median it is than the one `beside` it: the best other store or index,
    which is no reference (a library without an engine) where engines were measured.
    """
    of = ["k", "store", "kind", "reference", "load", "setting"]
    every = wide(chosen(run, {"part": SETTINGS}), of, ["recall", "p50_ms", "most_qps"])
    for k in ks:
        rivals: dict[_Rival, pd.DataFrame] = {}
        for (store, kind), own in every[every["k"] == k].groupby(["store", "kind"], sort=False):
            measured = own[(own["load"] == "alone") & own["p50_ms"].notna()]
            if len(measured):
                rivals[str(store), str(kind)] = measured
        for recall in recalls:
            setting = {"part": EQUAL, "k": k, "recall": recall}
            yield from ({**setting, **one} for one in _at_recall(rivals, samples, recall))


def _at_recall(
    rivals: Mapping[_Rival, pd.DataFrame], samples: Mapping[str, Setting], recall: float
) -> Iterator[Record]:
    p50_ms = {name: _at(recall, own, "p50_ms", larger_is_better=False) for name, own in rivals.items()}
    reached = [name for name, told in p50_ms.items() if "value" in told]
    judges = [name for name, own in rivals.items() if not own["reference"].iloc[0]] or [*rivals]
    for name, own in rivals.items():
        others = [one for one in reached if one in judges and one != name]
        faster, beside, times = UNTOLD, "", ""
        if name in reached and others:
            best = min(others, key=lambda one: p50_ms[one]["value"])
            beside = ", ".join(best)
            sides = [[samples[one] for one in rivals[side]["setting"]] for side in (best, name)]
            faster = speed_up_at(recall, *sides) or UNTOLD
        if faster is not UNTOLD:
            times = f"{number(faster.value)}×{HELD}{interval(faster.low, faster.high, number)} as fast as {beside}"
        setting = {**of_store(name[0], reference=bool(own["reference"].iloc[0])), "index": name[1]}
        for told in (
            {"measure": "p50_ms", "note": times, **p50_ms[name]},
            {"measure": "qps", **_at(recall, own, "most_qps", larger_is_better=True)},
            figure("all_above", str(bool(p50_ms[name].get("text")))),
            figure("beside", beside),
            figure("speed_up", faster),
        ):
            yield {**setting, **told}


def _at(recall: float, own: pd.DataFrame, column: str, *, larger_is_better: bool) -> dict[str, Any]:
    """Return a figure of a rival between its settings; nothing is extrapolated."""
    told = own.dropna(subset=column)[["setting", "recall", column]]
    points = [Point(*row) for row in told.itertuples(index=False)]
    value = at_recall(points, recall, larger_is_better=larger_is_better)
    if value is not None:
        return {"value": value}
    kept = front(points, larger_is_better=larger_is_better)
    return {"text": "all above" if kept and kept[0].recall > recall else ""}
