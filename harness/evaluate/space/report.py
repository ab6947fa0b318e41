"""Embedding spaces beside each other: several seeds in one line, pictures as SVG paths, and the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.data.encoders import CENTRED
from cohorts.harness.evaluate.data.text_baselines import TfIdf
from cohorts.harness.evaluate.space.evaluation import THRESHOLDS, FewRow, Picture, Plan, Result, Row
from cohorts.harness.evaluate.space.geometry import BINS, Graph
from cohorts.harness.evaluate.statistics import Cell, cell_of
from cohorts.harness.reports.findings import Score, against
from cohorts.harness.reports.page import keep, render
from cohorts.measures.paired import t_p
from cohorts.provenance import made_from, made_with
from cohorts.records.base import Source

_VERSIONS = ("gensim", "numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers")
MEASURES = {
    "uniformity": "uniformity",
    "alignment_label": "alignment, label",
    "alignment_document": "alignment, document",
    "within": "cosine within",
    "between": "cosine between",
    "anisotropy": "anisotropy",
    "first_component": "first component",
    "modularity": "best modularity",
}
_COLOURS = (
    *("#2f6f9f", "#d9730d", "#2e8b57", "#b03a48", "#7a55a3", "#8c6239", "#d05fa2", "#6b7a1f", "#1aa3b0"),
    *("#e0ab00", "#34495e"),
)
_REST = "#c3cad3"  # of classes beyond the colours
_EDGES = np.linspace(-1, 1, BINS + 1)


class Line(NamedTuple):
    """One space, or one training: a cell for each measure that some space has, or for each number of labels."""

    vectors: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Curve:
    """A line of a chart, as the points of an SVG polyline."""

    name: str
    colour: str
    dashed: bool
    points: str


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Return a line for every space, in the order in which they were measured."""
    frame = pd.DataFrame(rows, columns=list(Row._fields))
    told = [name for name in MEASURES if frame[name].notna().any()]
    return [
        Line(str(encoder), {name: cell_of(group[name]) for name in told})
        for encoder, group in frame.groupby("encoder", sort=False)
    ]


def summarize_few(rows: Sequence[FewRow]) -> list[Line]:
    """Return F1 macro by what was learnt from, a line for every space and for every number of trained layers."""
    frame = pd.DataFrame(rows, columns=list(FewRow._fields))
    sizes = sorted(frame["labels"].unique())
    names = [*(f"{size} labels" for size in sizes[:-1]), f"all {sizes[-1]:,} labels"]
    return [
        Line(
            str(vectors),
            {
                name: cell_of(group.loc[group["labels"] == size, "f1"])
                for size, name in zip(sizes, names, strict=True)
            },
        )
        for vectors, group in frame.groupby([_trained(row) for row in rows], sort=False)
    ]


def finding(rows: Sequence[FewRow]) -> str:
    """Return whether a classifier learns more in any space than in that of TF-IDF, from all labels."""
    frame = pd.DataFrame(rows, columns=list(FewRow._fields)).assign(vectors=[_trained(row) for row in rows])
    most = frame["labels"].max()
    here = frame[frame["labels"] == most].sort_values("seed")
    f1 = {str(name): group["f1"] for name, group in here.groupby("vectors", sort=False)}
    base = f1.pop(TfIdf.name)
    return against(
        f"F1 macro from all {most:,} labels",
        [Score.of(name, cell_of(values)) for name, values in f1.items()],
        Score.of(TfIdf.name, cell_of(base)),
        [t_p(values, base) for values in f1.values()],
        "paired t-test over the seeds, Bonferroni's correction",
    )


def _trained(row: FewRow) -> str:
    if row.unfrozen is None:
        return row.encoder
    layers = {0: "head alone", 1: "1 layer"}.get(row.unfrozen, f"{row.unfrozen} layers")
    return f"{row.encoder}, {layers} trained"


def manifest_of(source: Source, plan: Plan, result: Result) -> dict[str, Any]:
    """Return what is needed to measure the same again."""
    return {
        **made_with(_VERSIONS),
        **made_from(source),
        "plan": {
            "seeds": plan.seeds,
            "label": plan.label,
            "encoders": {one.name: one.encoder.fingerprint for one in plan.contestants},
            "unfreeze": list(plan.unfreeze),
            "projection": plan.projection,
        },
        "counts": result.counts,
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], result: Result) -> Path:
    """Write report.html, manifest.json and a table for every kind of measurement; return the page's path."""
    page = render(
        "space.html",
        manifest=manifest,
        finding=finding(result.few),
        lines=summarize(result.rows),
        learnt=summarize_few(result.few),
        measures=MEASURES,
        cosines=list(_cosine_charts(result.pictures)),
        sweeps={
            "Modularity of the classes": _sweep(result.pictures, "modularity"),
            "Share of the documents in the largest component": _sweep(result.pictures, "largest"),
        },
        planes=list(_planes(result.pictures)),
        legend=_legend(result.pictures),
        known=lambda number: number == number,
    )
    return keep(folder, page, manifest, _tables(result))


def _tables(result: Result) -> list[tuple[str, pd.DataFrame]]:
    pictures = result.pictures.items()
    graphs = [(name, *graph) for name, picture in pictures for graph in picture.graphs]
    cosines = [
        (name, *numbers)
        for name, picture in pictures
        for numbers in zip(_EDGES[:-1].round(2), *picture.cosines, strict=True)
    ]
    plane = [
        (name, label, *point)
        for name, picture in pictures
        for label, point in zip(picture.classes, picture.plane, strict=True)
    ]
    return [
        ("space", pd.DataFrame(result.rows, columns=list(Row._fields))),
        (
            "few_labels",
            pd.DataFrame(result.few, columns=list(FewRow._fields)).astype({"unfrozen": "Int64"}),
        ),
        ("graphs", pd.DataFrame(graphs, columns=["encoder", *Graph._fields])),
        ("cosines", pd.DataFrame(cosines, columns=["encoder", "cosine_from", "within", "between"])),
        ("plane", pd.DataFrame(plane, columns=["encoder", "class", "first", "second"])),
    ]


def _cosine_charts(pictures: Mapping[str, Picture]) -> Iterator[dict[str, str]]:
    """Yield, for every space, the outlines of both histograms, 0 to 300 by 0 to 90, of the shares of their pairs."""
    for name, picture in pictures.items():
        shares = [counts / max(1, counts.sum()) for counts in picture.cosines]
        top = max(float(share.max()) for share in shares)
        within, between = (_steps(share / top) for share in shares)
        yield {"name": name, "within": within, "between": between}


def _steps(heights: "np.typing.NDArray[np.float64]") -> str:
    across = np.repeat(_EDGES + 1, 2)[1:-1] * 150
    inner = zip(across, np.repeat(heights, 2), strict=True)
    return " ".join(["0,90", *(f"{x:.0f},{90 - 90 * y:.1f}" for x, y in inner), "300,90"])


def _sweep(pictures: Mapping[str, Picture], measure: str) -> list[Curve]:
    """Return the curves of a measure over the thresholds, 0 to 460 by 0 to 200; below 0 is drawn at 0."""
    encoders = list(dict.fromkeys(name.removesuffix(CENTRED) for name in pictures))
    curves = []
    for name, picture in pictures.items():
        values = [(graph.threshold / THRESHOLDS[-1], getattr(graph, measure)) for graph in picture.graphs]
        points = " ".join(f"{460 * x:.0f},{200 - 200 * max(0, y):.1f}" for x, y in values if y == y)
        colour = _COLOURS[encoders.index(name.removesuffix(CENTRED)) % len(_COLOURS)]
        curves.append(Curve(name, colour, name.endswith(CENTRED), points))
    return curves


def _legend(pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return a colour for each class, the most frequent first; those beyond the colours share one."""
    counts = pd.Series(next(iter(pictures.values())).classes).value_counts()
    return {
        str(name): _COLOURS[place] if place < len(_COLOURS) else _REST
        for place, name in enumerate(counts.index)
    }


def _planes(pictures: Mapping[str, Picture]) -> Iterator[dict[str, Any]]:
    """Yield, for every space as it is, its documents as points, 0 to 300 both ways; centred ones look much the same."""
    colours = _legend(pictures)
    for name, picture in pictures.items():
        if name.endswith(CENTRED) or not np.isfinite(picture.plane).all():
            continue
        low, high = picture.plane.min(axis=0), picture.plane.max(axis=0)
        placed = (picture.plane - low) / max((high - low).max(), 1e-9) * 290 + 5
        dots = [
            {"x": round(float(x), 1), "y": round(300 - float(y), 1), "colour": colours[label], "label": label}
            for (x, y), label in zip(placed, picture.classes.tolist(), strict=True)
        ]
        yield {"name": name, "dots": dots, "share": picture.share}
