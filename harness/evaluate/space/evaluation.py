"""The spaces of several encoders beside each other, on labelled documents: how they lie, what they are good for.

Every seed holds out a share of the documents. What is fitted (word2vec, TF-IDF, the mean that is subtracted) sees the
others alone; TrainingIds checks it. How a space lies is measured on those held out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from cohorts.connectors.padding import as_questions
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.pooling import filled_rows, unit_rows
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import Run, Sheet, Task, Tell, figures
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder, check_names
from cohorts.harness.evaluate.data.splits import listed
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
from cohorts.harness.evaluate.space.sentence_pairs import pair_cosines
from cohorts.harness.evaluate.space.tables import EDGES, MEASURES, THRESHOLDS, read
from cohorts.measures import geometry as space
from cohorts.measures.geometry import Names, Rows
from cohorts.records.base import Source, joined_notes
from cohorts.records.transforms import Subset
from cohorts.records.window import Window, seen
from cohorts.reports.long_table import Record

_FEWEST_WORDS = 20  # of a document that is cut into halves
Sides = tuple[Rows, Rows]  # learnt from, and held out


@dataclass(frozen=True, kw_only=True)
class SpaceTask(Task[Source]):
    """What to measure: by which label, of which encoders, and in how many splits.

    `unfreeze` are numbers of last layers that text models are trained with; `projection` is how the plane is drawn.

    In the sheet `space` (see measures/geometry.py), `alignment_label` is of pairs of one label,
    `alignment_document` of the halves of one document; `modularity` is the largest over the thresholds; `empty` are
    held-out documents without a vector, which the figures leave out. `few_labels` has F1 macro: `unfrozen` layers were
    trained with a head; none is logistic regression on frozen vectors. All else is of the first seed's documents, and
    is drawn; `share` is what a plane shows of the variance, NaN where the projection does not tell.
    """

    name = "space"
    packages = ("gensim", "numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers")
    sheets = {  # noqa: RUF012 - never changed
        "space": Sheet(("encoder", "seed"), (*MEASURES, "empty"), counts=("empty",)),
        "few_labels": Sheet(("encoder", "seed", "labels", "unfrozen"), ("f1",), counts=("unfrozen",)),
        "graphs": Sheet(
            ("encoder", "threshold"),
            ("density", "components", "largest", "modularity"),
            counts=("components",),
        ),
        "cosines": Sheet(("encoder", "cosine_from"), ("within", "between"), counts=("within", "between")),
        "plane": Sheet(("encoder", "class", "document"), ("first", "second")),
    }
    label: str
    contestants: Sequence[NamedEncoder]
    seeds: int = 3
    window: Window | None = None
    unfreeze: Sequence[int] = ()
    projection: Literal["pca", "umap"] = "pca"
    told = staticmethod(read)

    def __post_init__(self) -> None:
        if self.projection == "umap":
            umap_plane.check_installed()
        check_names(self.contestants)

    @property
    def text_models(self) -> dict[str, Bert]:
        """Return the encoders whose layers can be trained, by name."""
        return {one.name: one.encoder for one in self.contestants if isinstance(one.encoder, Bert)}

    def asked(self) -> dict[str, Any]:
        """Return what was asked for."""
        return {
            "seeds": self.seeds,
            "label": self.label,
            "encoders": {one.name: one.encoder.fingerprint for one in self.contestants},
            "unfreeze": list(self.unfreeze),
            "projection": self.projection,
        }

    def measure(self, given: Source, run: Run) -> Iterator[Record]:
        """Yield every figure, seed by seed. Raises InputError, EncoderError."""
        if self.unfreeze:
            self._check_unfreezing(run.tell)
        run.begin("reading")
        documents = _read(seen(given, self.window), self.label, run)
        known: dict[tuple[str, str], _Encoded] = {}
        for seed in range(self.seeds):
            sides = hold_out(documents.labels, seed)
            for contestant in self.contestants:
                name = contestant.name
                run.begin(f"{name}: to vectors", f"seed {seed + 1} of {self.seeds}: {name}")
                encoded = _encode(contestant, documents, sides[0], known)
                run.begin("judging")
                for variant, one in _variants(contestant, encoded, sides[0]):
                    yield from self._judge(variant, one, documents, sides, seed)
                if self.unfreeze and name in self.text_models:
                    run.begin(f"{name}: layers trained")
                    yield from self._unfrozen(name, documents, sides, seed)

    def _check_unfreezing(self, tell: Tell) -> None:
        for name, encoder in self.text_models.items():
            unfreezing.check_layers(name, encoder, max(self.unfreeze))
        others = [one.name for one in self.contestants if one.name not in self.text_models]
        tell(f"Layers are trained of bert and clinicalnotebert; left out: {', '.join(others)}.")

    def _judge(
        self, name: str, encoded: "_Encoded", documents: "_Documents", sides: Sides, seed: int
    ) -> Iterator[Record]:
        learnt, held = sides
        filled = held[filled_rows(encoded.vectors[held])]
        vectors, classes = encoded.vectors[filled], documents.labels[filled]
        if len(filled) < 2:
            raise InputError(f"{name} gives a vector to {len(filled)} of {len(held)} held-out documents.")
        graphs = space.graphs(vectors, classes, THRESHOLDS)
        plane, shares = space.principal_plane(vectors)
        halves = np.isin(documents.halves, held)
        cosines, there = pair_cosines(encoded.left[halves], encoded.right[halves])
        yield from figures(
            "space",
            {"encoder": name, "seed": seed},
            uniformity=space.uniformity(vectors),
            alignment_label=space.alignment(vectors, classes),
            alignment_document=2 - 2 * float(cosines[there].mean()) if there.any() else float("nan"),
            **space.mean_cosines(vectors, classes)._asdict(),
            anisotropy=space.anisotropy(vectors),
            first_component=float(shares[0]),
            modularity=max((one.modularity for one in graphs if one.density), default=float("nan")),
            empty=len(held) - len(filled),
        )
        for size in sizes_below(len(learnt)):
            seen = few(documents.labels, learnt, size, seed)
            f1 = macro_f1(encoded.vectors, documents.labels, seen, held)
            yield from _few(name, seed, len(seen), None, f1)
        if seed == 0:
            share = float(shares.sum())
            if self.projection == "umap" and share == share:  # without a plane of PCA there is but one point
                plane, share = umap_plane.umap_plane(vectors), float("nan")
            yield from figures("share", {"encoder": name}, share=share)
            yield from _drawn(name, graphs, space.histograms(vectors, classes), plane, classes)

    def _unfrozen(self, name: str, documents: "_Documents", sides: Sides, seed: int) -> Iterator[Record]:
        """Train with the same few labels as the frozen classifier, and judge by the same documents."""
        (learnt, held), encoder, labels = sides, self.text_models[name], documents.labels
        windows = unfreezing.first_windows(encoder, documents.texts)
        frozen = unfreezing.frozen_vectors(encoder, windows) if 0 in self.unfreeze else None
        judged = [windows[row] for row in held]
        for layers in self.unfreeze:
            for size in sizes_below(len(learnt)):
                seen = few(labels, learnt, size, seed)
                if layers:
                    own = [windows[row] for row in seen]
                    told = unfreezing.train(encoder, own, labels[seen], layers, seed).predict(judged)
                    f1 = f1_of(labels[held], told)
                else:
                    f1 = macro_f1(frozen, labels, seen, held)
                yield from _few(name, seed, len(seen), layers, f1)


def _few(name: str, seed: int, labels: int, unfrozen: int | None, f1: float) -> Iterator[Record]:
    of = {"encoder": name, "seed": seed, "labels": labels, "unfrozen": unfrozen}
    return figures("few_labels", of, f1=f1)


def _drawn(
    name: str,
    graphs: Sequence[space.Graph],
    cosines: space.Histograms,
    plane: npt.NDArray[np.float64],
    classes: Names,
) -> Iterator[Record]:
    """Yield what is drawn of a space: its graphs, its pairs by cosine, and its documents in the plane, (n, 2)."""
    for graph in graphs:
        measured = graph._asdict()
        yield from figures("graphs", {"encoder": name, "threshold": measured.pop("threshold")}, **measured)
    for start, within, between in zip(EDGES[:-1].round(2).tolist(), *cosines, strict=True):
        yield from figures("cosines", {"encoder": name, "cosine_from": start}, within=within, between=between)
    for place, ((first, second), label) in enumerate(zip(plane.tolist(), classes.tolist(), strict=True)):
        of = {"encoder": name, "class": label, "document": place}
        yield from figures("plane", of, first=first, second=second)


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


def _read(source: Source, label: str, run: Run) -> _Documents:
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
    run.counts |= {
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
