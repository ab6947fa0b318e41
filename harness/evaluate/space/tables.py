"""How spaces are read: means over the seeds, what was found, and pictures as SVG paths."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from cohorts.harness.evaluate import seeds
from cohorts.harness.evaluate.base import Run, Told
from cohorts.harness.evaluate.data.encoders import CENTRED
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.measures.geometry import BINS
from cohorts.reports.formats import decimals
from cohorts.reports.long_table import ReportTable, TableSpec, chosen, records

MEASURES = {  # titles, and as narrow as 80 columns want them
    "uniformity": ("uniformity", "uni-\nformity"),
    "alignment_label": ("alignment, label", "align-\nment,\nlabel"),
    "alignment_document": ("alignment, document", "align-\nment,\ndoc."),
    "within": ("cosine within", "cosine\nwithin"),
    "between": ("cosine between", "cosine\nbetw."),
    "anisotropy": ("anisotropy", "aniso-\ntropy"),
    "first_component": ("first component", "first\ncomp."),
    "modularity": ("best modularity", "best\nmodul."),
}
THRESHOLDS = tuple(np.arange(40) / 40)  # of cosines, 0 to .975
EDGES = np.linspace(-1, 1, BINS + 1)  # of cosines too
_COLOURS = (
    *("#2f6f9f", "#d9730d", "#2e8b57", "#b03a48", "#7a55a3", "#8c6239", "#d05fa2", "#6b7a1f", "#1aa3b0"),
    *("#e0ab00", "#34495e"),
)
_REST = "#c3cad3"  # of classes beyond the colours


class Curve(NamedTuple):
    """A line of a chart, as the points of an SVG polyline."""

    name: str
    colour: str
    dashed: bool
    points: str


def read(run: Run) -> Told:
    """Return how the figures are read."""
    few, graphs = learnt(run.table("few_labels")), run.table("graphs")
    colours = _legend(run.table("plane"))
    return Told(
        finding=finding(few),
        tables={"lie": [_geometry(run.table("space"))], "learnt": [_few(few)]},
        drawn={
            "cosines": list(_cosine_charts(run.table("cosines"))),
            "sweeps": {
                "Modularity of the classes": _sweep(graphs, "modularity"),
                "Share of the documents in the largest component": _sweep(graphs, "largest"),
            },
            "planes": list(_planes(run.table("plane"), colours)),
            "shares": run.table("share").set_index("encoder")["value"].to_dict(),
            "legend": colours,
        },
    )


def learnt(few: pd.DataFrame) -> pd.DataFrame:
    """Return the means of F1 macro of every space and every number of trained layers, tested against TF-IDF."""
    named = few.assign(encoder=[_trained(one["encoder"], one["unfrozen"]) for one in records(few)])
    return seeds.over_seeds(named, ["encoder", "labels"], {"encoder": TfIdf.name})


def finding(means: pd.DataFrame) -> str:
    """Return whether a classifier learns more in any space than in that of TF-IDF, from all labels."""
    most = means["labels"].max()
    return seeds.finding(f"F1 macro from all {most:,} labels", chosen(means, {"labels": most}), TfIdf.name)


def _geometry(figures: pd.DataFrame) -> ReportTable:
    """Return how the spaces lie, by the measures that some space has."""
    told = set(figures.loc[figures["value"].notna(), "measure"])
    return TableSpec(
        title="Held-out documents: mean ± half of the 95 % interval over the seeds",
        rows={"vectors": "encoder"},
        columns=[
            seeds.mean_column(title, name, decimals(3), short=short)
            for name, (title, short) in MEASURES.items()
            if name in told
        ],
    ).of(seeds.over_seeds(figures, ["encoder"]))


def _few(means: pd.DataFrame) -> ReportTable:
    """Return F1 macro by what was learnt from, a row for every space and for every number of trained layers."""
    *fewer, most = sorted(means["labels"].unique().tolist())
    titles = {**{size: f"{size} labels" for size in fewer}, most: f"all {most:,} labels"}
    return TableSpec(
        title="F1 macro from few labels: mean ± half of the 95 % interval over the seeds",
        rows={"vectors": "encoder"},
        columns=[
            seeds.mean_column(title, "f1", decimals(3), where={"labels": size}, short=title)
            for size, title in titles.items()
        ],
    ).of(means)


def _trained(encoder: str, unfrozen: float | None) -> str:
    if unfrozen is None or unfrozen != unfrozen:
        return encoder
    layers = {0: "head alone", 1: "1 layer"}.get(int(unfrozen), f"{unfrozen:.0f} layers")
    return f"{encoder}, {layers} trained"


def _cosine_charts(cosines: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Yield, for every space, the outlines of both histograms, 0 to 300 by 0 to 90, of the shares of their pairs."""
    for name, own in cosines.groupby("encoder", sort=False):
        counts = (own.loc[own["measure"] == kind, "value"].to_numpy() for kind in ("within", "between"))
        shares = [many / max(1, many.sum()) for many in counts]
        top = max(float(share.max()) for share in shares)
        within, between = (_steps(share / top) for share in shares)
        yield {"name": str(name), "within": within, "between": between}


def _steps(heights: "np.typing.NDArray[np.float64]") -> str:
    across = np.repeat(EDGES + 1, 2)[1:-1] * 150
    inner = zip(across, np.repeat(heights, 2), strict=True)
    return " ".join(["0,90", *(f"{x:.0f},{90 - 90 * y:.1f}" for x, y in inner), "300,90"])


def _sweep(graphs: pd.DataFrame, measure: str) -> list[Curve]:
    """Return the curves of a measure over the thresholds, 0 to 460 by 0 to 200; below 0 is drawn at 0."""
    encoders = list(dict.fromkeys(name.removesuffix(CENTRED) for name in graphs["encoder"]))
    curves = []
    for name, own in chosen(graphs, {"measure": measure}).groupby("encoder", sort=False):
        values = zip(own["threshold"] / THRESHOLDS[-1], own["value"], strict=True)
        points = " ".join(f"{460 * x:.0f},{200 - 200 * max(0, y):.1f}" for x, y in values if y == y)
        bare = str(name).removesuffix(CENTRED)
        colour = _COLOURS[encoders.index(bare) % len(_COLOURS)]
        curves.append(Curve(str(name), colour, bare != name, points))
    return curves


def _legend(plane: pd.DataFrame) -> dict[str, str]:
    """Return a colour for each class, the most frequent first; those beyond the colours share one."""
    first = chosen(plane, {"encoder": plane["encoder"].iloc[0], "measure": "first"})
    counts = first["class"].value_counts()
    return {
        str(name): _COLOURS[place] if place < len(_COLOURS) else _REST
        for place, name in enumerate(counts.index)
    }


def _planes(plane: pd.DataFrame, colours: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield, for every space as it is, its documents as points, 0 to 300 both ways; centred ones look much the same."""
    for name, own in plane.groupby("encoder", sort=False):
        points = own["value"].to_numpy().reshape(-1, 2)
        if str(name).endswith(CENTRED) or not np.isfinite(points).all():
            continue
        low, high = points.min(axis=0), points.max(axis=0)
        placed = (points - low) / max((high - low).max(), 1e-9) * 290 + 5
        dots = [
            {"x": round(x, 1), "y": round(300 - y, 1), "colour": colours[label], "label": label}
            for (x, y), label in zip(placed.tolist(), own["class"].iloc[::2], strict=True)
        ]
        yield {"name": str(name), "dots": dots}
