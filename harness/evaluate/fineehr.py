"""FineEHR's Table II on any source: settings × classifiers, baselines that the paper lacks, and retrieval beside them.

Source: Wu et al., 2023, arXiv:2304.11794, section IV. Everything is fitted on the training side alone; TrainingIds
checks it at every part.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.fineehr.category_weights import category_means
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fineehr.note_vectors import NoteVectors, note_vectors
from cohorts.encoders.fineehr.training import ANY, SETTINGS, Settings, train
from cohorts.encoders.needs import check_notes
from cohorts.encoders.training import TrainingIds
from cohorts.errors import EncoderError, InputError
from cohorts.harness.evaluate.data.baselines import TFIDF, scorers_of
from cohorts.harness.evaluate.data.classifiers import CLASSIFIERS, score
from cohorts.harness.evaluate.data.splits import Split, SplitBy, listed, split
from cohorts.harness.evaluate.data.tfidf import tfidf, word_counts
from cohorts.harness.evaluate.data.units import Units, read_units
from cohorts.harness.evaluate.retrieval.precision import precision_by_phenotype
from cohorts.harness.evaluate.retrieval.scorers import WITHOUT_BM25, ByVectors, Scorer, bm25_installed
from cohorts.harness.reports.stages import Stages
from cohorts.records.base import Source
from cohorts.records.transforms import AsOf
from cohorts.records.withheld import WithheldSource, parse_withheld

CONCATENATION = "concatenation"
WORD2VEC = "word2vec"
ALL_NOTES = "all notes"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to evaluate: seeds, split, the encoder's settings, and a time after admission, beside all notes."""

    seeds: int = 3
    split_by: SplitBy = SplitBy.PATIENT
    settings: Settings = Settings()
    as_of: timedelta | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds were asked for; at least 1 is needed.")


class PredictionRow(NamedTuple):
    """How well one classifier tells who dies, from the vectors of one setting or baseline.

    `unimproved` says whose training brought nothing, "" where all brought some.
    """

    notes: str
    encoder: str
    classifier: str
    seed: int
    auc: float
    auc_pr: float
    unimproved: str = ""


class RetrievalRow(NamedTuple):
    """Precision@10 of one encoder for the queries of one phenotype."""

    notes: str
    encoder: str
    phenotype: str
    seed: int
    queries: int
    precision: float
    base: float


@dataclass
class Result:
    """All that was measured. `learnt` is what the `full` encoder of the first seed says of itself, by kind of notes.

    `not_measured` is why a kind of notes is left out, where the other one could be measured.
    """

    predictions: list[PredictionRow] = field(default_factory=list)
    retrieval: list[RetrievalRow] = field(default_factory=list)
    learnt: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)
    not_measured: dict[str, str] = field(default_factory=dict)

    def leave_out(self, notes: str, reason: str) -> None:
        """Keep why one kind of notes can't be measured, and nothing of what was measured of it."""
        self.not_measured[notes] = reason
        self.predictions = [row for row in self.predictions if row.notes != notes]
        self.retrieval = [row for row in self.retrieval if row.notes != notes]
        self.learnt.pop(notes, None)


def evaluate(source: Source, plan: Plan, tell: Tell = lambda _: None) -> Result:
    """Measure everything, seed by seed. `source` has a unit per admission. Raises InputError, EncoderError."""
    check_notes(source, "evaluate fineehr")
    if not bm25_installed():
        tell(WITHOUT_BM25)
    result = Result()
    units = _read_units(source, result)
    # All at once: what can't be split is told before the words of all notes are counted.
    splits = [split(units.patients, units.died, plan.split_by, seed) for seed in range(plan.seeds)]
    views: dict[str, Source] = {ALL_NOTES: source}
    if plan.as_of is not None:
        views[as_of_text(plan.as_of)] = AsOf(source, plan.as_of)
    result.stages.begin("TF-IDF")
    counts = {notes: word_counts(view) for notes, view in views.items()}
    for notes, of_view in counts.items():
        result.counts[f"admissions with words, {notes}"] = int((np.diff(of_view.indptr) > 0).sum())
    for notes in reversed(views):  # the one with fewer notes first: if they are too few, that is told at once
        try:
            scorers = cache(partial(_baselines, views[notes]))
            for seed, parts in enumerate(splits):
                _Seed(
                    views[notes], units, counts[notes], scorers, plan, seed, parts, notes, result, tell
                ).run()
        except EncoderError as error:
            if len(views) == 1 or result.not_measured:
                raise
            result.leave_out(notes, str(error))
    result.stages.end()
    result.predictions.sort(key=lambda row: list(views).index(row.notes))
    result.retrieval.sort(key=lambda row: list(views).index(row.notes))
    result.learnt = {notes: result.learnt[notes] for notes in views if notes in result.learnt}
    return result


def _baselines(view: Source) -> dict[str, Scorer]:
    """Return what ranks without vectors, the codes of the phenotypes that neighbours are judged by withheld."""
    return scorers_of(WithheldSource(view, parse_withheld("all", text=False)))


def as_of_text(after_admission: timedelta) -> str:
    """Return `admission+24h` as it is asked for."""
    return f"admission+{after_admission // timedelta(hours=1)}h"


def _read_units(source: Source, result: Result) -> Units:
    result.stages.begin("reading")
    units = read_units(source)
    result.counts |= {
        "admissions": len(units.ids),
        "patients": units.patients.nunique(),
        "died": int(units.died.sum()),
    }
    return units


class _Seed:
    """One split of one view of the source, and all that is measured with it."""

    def __init__(
        self,
        view: Source,
        units: Units,
        counts: Any,
        scorers: Callable[[], dict[str, Scorer]],
        plan: Plan,
        seed: int,
        parts: Split,
        notes: str,
        result: Result,
        tell: Tell,
    ) -> None:
        self._view, self._units, self._counts = view, units, counts
        self._scorers = scorers
        self._seed, self._notes, self._result = seed, notes, result
        self._unimproved: dict[str, str] = {}
        self._settings = [replace(plan.settings, setting=name, seed=seed) for name in SETTINGS]
        self._split = parts
        self._allowed = TrainingIds(listed(units.ids, self._split.training))
        self._tell, self._which = tell, f"{notes}, seed {seed + 1} of {plan.seeds}"

    def run(self) -> None:
        """Train, encode, predict, retrieve."""
        encoders = self._train()
        self._begin("notes to vectors")
        vectors, concatenated = self._encode(encoders)
        vectors[TFIDF] = tfidf(self._counts[self._split.training], self._counts)
        self._begin("classifiers")
        for name, features in {**vectors, CONCATENATION: concatenated}.items():
            self._predict(name, features)
        self._begin("retrieval")
        by_vectors: dict[str, Scorer] = {name: ByVectors(features) for name, features in vectors.items()}
        for name, scorer in (by_vectors | self._scorers()).items():
            self._retrieve(name, scorer)

    def _begin(self, stage: str) -> None:
        self._tell(f"{self._which}: {stage}")
        self._result.stages.begin(stage)

    def _train(self) -> dict[str, FineEhr]:
        training = listed(self._units.ids, self._split.training)
        parts = train(self._view, self._settings, training, self._begin)
        made = {one.setting: FineEhr(one, part) for one, part in zip(self._settings, parts, strict=True)}
        self._unimproved = {name: one.unimproved for name, one in made.items()}
        self._result.learnt.setdefault(self._notes, made["full"].describe())
        return made

    def _encode(self, encoders: Mapping[str, FineEhr]) -> tuple[dict[str, Any], Any]:
        """Return the vectors of every unit, by encoder, and the concatenation of category means and presence flags."""
        words = encoders["full"].parts.words
        categories = sorted(set(encoders["full"].parts.weights) - {ANY})
        made: dict[str, list[Any]] = {name: [] for name in (*encoders, WORD2VEC, CONCATENATION)}
        for batch in self._view.batches():
            notes = note_vectors(batch, words)
            for name, encoder in encoders.items():
                made[name].append(encoder.encode_notes(notes))
            made[WORD2VEC].append(words.encode(batch))
            made[CONCATENATION].append(concatenation(notes, categories))
        stacked = {name: np.concatenate(parts) for name, parts in made.items()}
        return stacked, stacked.pop(CONCATENATION)

    def _predict(self, name: str, features: Any) -> None:
        died, train_rows, test_rows = self._units.died, self._split.train, self._split.test
        self._allowed.check(listed(self._units.ids, train_rows), "the classifiers")
        for classifier in ["logistic regression"] if name == TFIDF else CLASSIFIERS:
            scored = score(
                classifier,
                self._seed,
                (features[train_rows], died[train_rows]),
                (features[test_rows], died[test_rows]),
            )
            self._result.predictions.append(
                PredictionRow(
                    self._notes, name, classifier, self._seed, *scored, self._unimproved.get(name, "")
                )
            )

    def _retrieve(self, name: str, scorer: Scorer) -> None:
        units = self._units
        found = precision_by_phenotype(scorer, units.phenotype, units.patient, self._split.held_out)
        self._result.retrieval += [
            RetrievalRow(self._notes, name, one.phenotype, self._seed, one.queries, one.precision, one.base)
            for one in found
        ]


def concatenation(notes: NoteVectors, categories: list[str]) -> npt.NDArray[np.float32]:
    """Return (units, categories · (dim + 1)): the category means side by side, and a flag for each that is there."""
    known = np.isin(notes.category, categories)
    means, present = category_means(
        notes.vectors[known],
        notes.unit[known],
        np.searchsorted(categories, notes.category[known]),
        (notes.units, len(categories)),
    )
    return np.concatenate([means.reshape(notes.units, -1), present.astype(np.float32)], axis=1)


def tables(result: Result) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what was measured as tables, by name, to be kept beside the report."""
    yield "predictions", pd.DataFrame(result.predictions, columns=list(PredictionRow._fields))
    yield "retrieval", pd.DataFrame(result.retrieval, columns=list(RetrievalRow._fields))
