"""The spaces of several encoders beside each other, on labelled documents: how they lie, what they are good for.

Every seed holds out a share of the documents. What is fitted (word2vec, TF-IDF, the mean that is subtracted) sees the
others alone; TrainingIds checks it. How a space lies is measured on those held out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.connectors.padding import as_questions
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.pooling import filled_rows, unit_rows
from cohorts.errors import InputError
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder, check_names
from cohorts.harness.evaluate.data.splits import listed
from cohorts.harness.evaluate.space import geometry as space
from cohorts.harness.evaluate.space import umap as umap_plane
from cohorts.harness.evaluate.space import unfreezing
from cohorts.harness.evaluate.space.few_labels import (
    common_classes,
    f1_of,
    few,
    hold_out,
    macro_f1,
    sizes_below,
)
from cohorts.harness.evaluate.space.geometry import Graph, Histograms, Names, Rows
from cohorts.harness.reports.stages import Stages
from cohorts.records.base import Source, joined_notes
from cohorts.records.transforms import Subset

THRESHOLDS = tuple(np.arange(40) / 40)  # of cosines, 0 to .975
_FEWEST_WORDS = 20  # of a document that is cut into halves

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure: by which label, of which encoders, and in how many splits.

    `unfreeze` are numbers of last layers that text models are trained with; `projection` is how the plane is drawn.
    """

    label: str
    contestants: Sequence[NamedEncoder]
    seeds: int = 3
    unfreeze: Sequence[int] = ()
    projection: Literal["pca", "umap"] = "pca"

    def __post_init__(self) -> None:
        if self.projection == "umap":
            umap_plane.check_installed()
        check_names(self.contestants)

    @property
    def text_models(self) -> dict[str, Bert]:
        """Return the encoders whose layers can be trained, by name."""
        return {one.name: one.encoder for one in self.contestants if isinstance(one.encoder, Bert)}


class Row(NamedTuple):
    """What one seed measured of one space; see `harness/evaluate/space/geometry.py`. NaN where there is none.

    `alignment_label` is of pairs of one label, `alignment_document` of the halves of one document; `modularity` is the
    largest over the thresholds; `empty` are held-out documents without a vector, which the figures leave out.
    """

    encoder: str
    seed: int
    uniformity: float
    alignment_label: float
    alignment_document: float
    within: float
    between: float
    anisotropy: float
    first_component: float
    modularity: float
    empty: int


class FewRow(NamedTuple):
    """F1 macro of one seed and one number of labels.

    `unfrozen` layers were trained with a head; None is logistic regression on frozen vectors.
    """

    encoder: str
    seed: int
    labels: int
    f1: float
    unfrozen: int | None = None


@dataclass(frozen=True)
class Picture:
    """What is drawn of a space: the held-out documents of the first seed.

    `plane` is (n, 2), and `share` what it shows of the variance; NaN where the projection does not tell.
    """

    cosines: Histograms
    graphs: list[Graph]
    plane: npt.NDArray[np.float64]
    share: float
    classes: Names


@dataclass
class Result:
    """All that was measured, and pictures by the name of the space."""

    rows: list[Row] = field(default_factory=list)
    few: list[FewRow] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)


@dataclass(frozen=True)
class _Documents:
    """What is judged by: units that have a text and a label that is common enough; `halves` are rows of long ones."""

    source: Source
    ids: list[str]
    labels: Names
    texts: list[str]
    halves: Rows
    left: list[str]
    right: list[str]


@dataclass(frozen=True)
class _Encoded:
    """The documents in one space, dense or sparse, and the halves of the long ones."""

    vectors: Any
    left: Any
    right: Any

    def centred(self, learnt: Rows) -> "_Encoded":
        """Return the space less the mean of the rows that are learnt from."""
        mean = self.vectors[learnt].mean(axis=0)
        vectors, left, right = (unit_rows(one - mean) for one in (self.vectors, self.left, self.right))
        return _Encoded(vectors, left, right)


def evaluate(source: Source, plan: Plan, tell: Tell = lambda _: None) -> Result:
    """Measure everything, seed by seed. Raises InputError, EncoderError."""
    result = Result()
    if plan.unfreeze:
        _check_unfreezing(plan, tell)
    result.stages.begin("reading")
    documents = _read(source, plan.label, result)
    known: dict[tuple[str, str], _Encoded] = {}
    for seed in range(plan.seeds):
        learnt, held = hold_out(documents.labels, seed)
        for contestant in plan.contestants:
            tell(f"seed {seed + 1} of {plan.seeds}: {contestant.name}")
            result.stages.begin(f"{contestant.name}: to vectors")
            encoded = _encode(contestant, documents, learnt, known)
            result.stages.begin("judging")
            for name, one in _variants(contestant, encoded, learnt):
                _judge(name, one, documents, (learnt, held), plan, seed, result)
            if plan.unfreeze and contestant.name in plan.text_models:
                result.stages.begin(f"{contestant.name}: layers trained")
                _unfreeze(contestant.name, documents, (learnt, held), plan, seed, result)
    result.stages.end()
    return result


def _check_unfreezing(plan: Plan, tell: Tell) -> None:
    for name, encoder in plan.text_models.items():
        unfreezing.check_layers(name, encoder, max(plan.unfreeze))
    others = [one.name for one in plan.contestants if one.name not in plan.text_models]
    tell(f"--unfreeze trains layers of bert and clinicalnotebert; it leaves out: {', '.join(others)}.")


def _read(source: Source, label: str, result: Result) -> _Documents:
    column = f"label_{label}"
    ids, labels, texts = [], [], []
    for batch in source.batches():
        if column not in batch.units:
            raise InputError(f"The source {source.name} keeps no label {label!r} with its documents.")
        ids += batch.units["unit_id"].tolist()
        labels += batch.units[column].fillna("").tolist()
        texts += joined_notes(batch)
    has_text = np.array([bool(text.strip()) for text in texts], np.bool_)
    judged = np.where(has_text, np.array(labels, np.str_), "")
    kept = np.flatnonzero(common_classes(judged))
    cut = [texts[row].split() for row in kept]
    halves = [place for place, words in enumerate(cut) if len(words) >= _FEWEST_WORDS]
    result.counts |= {
        "documents": len(ids),
        "without text": int((~has_text).sum()),
        "judged": len(kept),
        "classes": len(np.unique(judged[kept])),
        "cut into halves": len(halves),
    }
    return _Documents(
        Subset(source, listed(ids, kept)),
        [ids[row] for row in kept],
        judged[kept],
        [texts[row] for row in kept],
        np.array(halves, np.intp),
        [" ".join(cut[place][: len(cut[place]) // 2]) for place in halves],
        [" ".join(cut[place][len(cut[place]) // 2 :]) for place in halves],
    )


def _encode(
    contestant: NamedEncoder, documents: _Documents, learnt: Rows, known: dict[tuple[str, str], _Encoded]
) -> _Encoded:
    """Fit the encoder on what may be learnt from, and encode everything; what is `known` is not encoded anew."""
    encoder = contestant.encoder
    contestant.learn(documents.source, listed(documents.ids, learnt))
    key = contestant.name, encoder.fingerprint
    if key not in known:
        vectors = as_questions(contestant.encode(documents.source), contestant.padding)
        left, right = encoder.encode_text(documents.left), encoder.encode_text(documents.right)
        known[key] = _Encoded(vectors, left, right)
    return known[key]


def _variants(contestant: NamedEncoder, encoded: _Encoded, learnt: Rows) -> Iterator[tuple[str, _Encoded]]:
    yield contestant.name, encoded
    if not hasattr(encoded.vectors, "toarray"):  # which would lose its zeros
        yield contestant.name + CENTRED, encoded.centred(learnt)


def _judge(
    name: str,
    encoded: _Encoded,
    documents: _Documents,
    sides: tuple[Rows, Rows],
    plan: Plan,
    seed: int,
    result: Result,
) -> None:
    learnt, held = sides
    filled = held[filled_rows(encoded.vectors[held])]
    vectors, classes = encoded.vectors[filled], documents.labels[filled]
    if len(filled) < 2:
        raise InputError(f"{name} gives a vector to {len(filled)} of {len(held)} held-out documents.")
    graphs = space.graphs(vectors, classes, THRESHOLDS)
    plane, shares = space.principal_plane(vectors)
    share = float(shares.sum())
    means = space.mean_cosines(vectors, classes)
    modularity = [graph.modularity for graph in graphs if graph.density]
    result.rows.append(
        Row(
            name,
            seed,
            space.uniformity(vectors),
            space.alignment(vectors, classes),
            _alignment_of_halves(encoded, np.isin(documents.halves, held)),
            *means,
            space.anisotropy(vectors),
            float(shares[0]),
            max(modularity, default=float("nan")),
            len(held) - len(filled),
        )
    )
    for size in sizes_below(len(learnt)):
        seen = few(documents.labels, learnt, size, seed)
        f1 = macro_f1(encoded.vectors, documents.labels, seen, held)
        result.few.append(FewRow(name, seed, len(seen), f1))
    if seed == 0:
        if plan.projection == "umap" and share == share:  # without a plane of PCA there is but one point
            plane, share = umap_plane.umap_plane(vectors), float("nan")
        result.pictures[name] = Picture(space.histograms(vectors, classes), graphs, plane, share, classes)


def _unfreeze(
    name: str, documents: _Documents, sides: tuple[Rows, Rows], plan: Plan, seed: int, result: Result
) -> None:
    """Train with the same few labels as the frozen classifier, and judge by the same documents."""
    (learnt, held), encoder = sides, plan.text_models[name]
    windows = unfreezing.first_windows(encoder, documents.texts)
    judged = [windows[row] for row in held]
    for layers in plan.unfreeze:
        for size in sizes_below(len(learnt)):
            seen = few(documents.labels, learnt, size, seed)
            trained = unfreezing.train(
                encoder, [windows[row] for row in seen], documents.labels[seen], layers, seed
            )
            f1 = f1_of(documents.labels[held], trained.predict(judged))
            result.few.append(FewRow(name, seed, len(seen), f1, layers))


def _alignment_of_halves(encoded: _Encoded, chosen: npt.NDArray[np.bool_]) -> float:
    left, right = encoded.left[chosen], encoded.right[chosen]
    both = filled_rows(left) & filled_rows(right)
    if not both.any():
        return float("nan")
    products = left[both].multiply(right[both]) if hasattr(left, "multiply") else left[both] * right[both]
    return float(2 - 2 * products.sum(axis=1).mean())
