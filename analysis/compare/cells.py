"""Numbers, shares and classes of groups side by side, as rows; what is small stays hidden."""

from collections.abc import Mapping
from math import nan

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare.figures import DIFFERENCE, Figures, figure
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.measures import balance
from cohorts.measures.intervals import UNTOLD, Estimate
from cohorts.measures.shares import difference, wilson

Floats = npt.NDArray[np.float64]
ByGroup = Mapping[str, Floats]
"""Values by the name of the group, (n,) each, NaN is missing."""
MISSING = "not known"


def number(sheet: str, item: str, values: ByGroup, cells: SmallCells) -> Figures:
    """Yield mean, standard deviation, median with quartiles, and who is missing; of two groups the `smd`.

    None is told of few, nor where all but a few have one value; where a few are missing, more are left out by lot.
    """
    known = {name: some[cells.without_few(~np.isnan(some))] for name, some in values.items()}
    enough = all(len(some) >= cells.least and not _nearly_one(some, cells) for some in known.values())
    hidden = "" if enough else cells.hidden
    for name, some in known.items():
        mean, spread, middle = _moments(some) if enough else (nan, nan, UNTOLD)
        yield figure(sheet, item, "mean", mean, group=name, text=hidden)
        yield figure(sheet, item, "sd", spread, group=name, text=hidden)
        yield figure(sheet, item, "median", middle, group=name, text=hidden)
    yield from _missing(sheet, item, values, cells)
    if len(values) == 2:
        smd = balance.numeric(*known.values()) if enough else nan
        yield figure(sheet, item, "smd", smd, group=DIFFERENCE, text=hidden)


def share(sheet: str, item: str, values: ByGroup, cells: SmallCells) -> Figures:
    """Yield how many are 1 among those who are 1 or 0, their share with interval, and who is missing.

    A few who are missing count as 0, for the number of the others would tell how few. Of two groups the difference of
    the shares follows, and the `smd`.
    """
    ones = [int(np.nansum(some)) for some in values.values()]
    known, every = [int((~np.isnan(some)).sum()) for some in values.values()], [*map(len, values.values())]
    of = known if cells.fit(known, every) else every
    shown = all(of) and cells.fit(ones, of)
    hidden = "" if shown else cells.hidden
    shares = [wilson(one, all_) for one, all_ in zip(ones, of, strict=True)]
    for name, one, told in zip(values, ones, shares, strict=True):
        yield figure(sheet, item, "patients", one, group=name, text=hidden)
        yield figure(sheet, item, "share", told, group=name, text=hidden)
    yield from _missing(sheet, item, values, cells)
    if len(values) == 2:
        apart = difference(*shares) if shown else UNTOLD
        smd = balance.binary(*(told.value for told in shares)) if shown else nan
        yield figure(sheet, item, "share", apart, group=DIFFERENCE, text=hidden)
        yield figure(sheet, item, "smd", smd, group=DIFFERENCE, text=hidden)


def classes(sheet: str, item: str, values: Mapping[str, "pd.Series[str]"], cells: SmallCells) -> Figures:
    """Yield how many are at each level, missing among them, and the shares; small levels stand together.

    Of two groups the `smd` follows, of the levels as they are shown.
    """
    table = pd.DataFrame({name: some.fillna(MISSING).value_counts() for name, some in values.items()})
    table = table.fillna(0).sort_values(list(values), ascending=False)
    counts = table.to_numpy(dtype=np.int64)
    pools = cells.pools(counts)
    shown = np.array([counts[pool].sum(axis=0) for pool in pools]).reshape(len(pools), len(values))
    for pool, told in zip(pools, shown, strict=True):
        level = ", ".join(table.index[pool].astype(str))
        for name, many, of in zip(values, told.tolist(), counts.sum(axis=0).tolist(), strict=True):
            yield figure(sheet, item, "patients", many, group=name, level=level)
            yield figure(sheet, item, "share", wilson(many, of), group=name, level=level)
    if not pools:
        for name in values:
            yield figure(sheet, item, "patients", nan, group=name, text=cells.hidden)
    if len(values) == 2:
        smd = balance.categories(*shown.T) if pools else nan
        yield figure(sheet, item, "smd", smd, group=DIFFERENCE, text="" if pools else cells.hidden)


def _nearly_one(values: Floats, cells: SmallCells) -> bool:
    """Tell whether all but a few have the same value: a mean would tell how few."""
    return cells.small(len(values) - int(np.unique(values, return_counts=True)[1].max()))


def _moments(values: Floats) -> tuple[float, float, Estimate]:
    low, middle, high = np.percentile(values, [25, 50, 75])
    spread = float(values.std(ddof=1)) if len(values) > 1 else nan
    return float(values.mean()), spread, Estimate(float(middle), float(low), float(high))


def _missing(sheet: str, item: str, values: ByGroup, cells: SmallCells) -> Figures:
    """Yield the share of each group that is missing, hidden where it or the rest are few."""
    gone, of = (
        [int(np.isnan(some).sum()) for some in values.values()],
        [len(some) for some in values.values()],
    )
    hidden = "" if cells.fit(gone, of) else cells.hidden
    for name, many, all_ in zip(values, gone, of, strict=True):
        yield figure(sheet, item, "missing", many / all_, group=name, text=hidden)
