"""FineEHR's Table II on any source: settings × classifiers, baselines that the paper lacks, and retrieval beside them.

Source: Wu et al., 2023, arXiv:2304.11794, section IV. Everything is fitted on the training side alone; TrainingIds
checks it at every part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.encoders.fineehr.category_weights import category_means
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fineehr.note_vectors import NoteVectors, note_vectors
from cohorts.encoders.fineehr.training import ANY, SETTINGS, Settings, train
from cohorts.encoders.needs import check_notes
from cohorts.encoders.training import TrainingIds
from cohorts.errors import EncoderError
from cohorts.harness.evaluate.base import Run, Sheet, Task, figures
from cohorts.harness.evaluate.data.baselines import scorers_of
from cohorts.harness.evaluate.data.classifiers import CLASSIFIERS, score
from cohorts.harness.evaluate.data.precision import precision_by_phenotype
from cohorts.harness.evaluate.data.splits import Split, SplitBy, listed, split
from cohorts.harness.evaluate.data.units import Units, read_units
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.harness.evaluate.fineehr_tables import read
from cohorts.harness.evaluate.retrieval.scorers import ByVectors, Scorer, Seen
from cohorts.harness.evaluate.seeds import check_seeds
from cohorts.records.base import Source
from cohorts.records.window import WHOLE_STAY, AsOf, Window
from cohorts.records.withheld import WithheldSource, parse_withheld
from cohorts.reports.long_table import Record

CONCATENATION = "concatenation"
WORD2VEC = "word2vec"
ALL_NOTES = "all notes"


@dataclass(frozen=True, kw_only=True)
class FineEhrTask(Task[Source]):
    """What to evaluate: seeds, split, the encoder's settings, and a window, beside all notes.

    The source has a unit per admission. The manifest's `learnt` is what the `full` encoder of the first seed says of
    itself, by kind of notes; `not_measured` is why a kind is left out, where the other one could be measured.
    """

    name = "fineehr"
    packages = ("gensim", "numpy", "pandas", "scikit-learn", "scipy", "torch")
    sheets = {  # noqa: RUF012 - never changed
        "predictions": Sheet(("notes", "encoder", "classifier", "seed"), ("auc", "auc_pr", "unimproved")),
        "retrieval": Sheet(
            ("notes", "encoder", "phenotype", "seed"), ("queries", "precision", "base"), counts=("queries",)
        ),
    }
    seeds: int = 3
    split_by: SplitBy = SplitBy.PATIENT
    settings: Settings = Settings()
    window: Window | None = None
    told = staticmethod(read)

    def __post_init__(self) -> None:
        check_seeds(self.seeds)

    @property
    def as_of(self) -> str:
        """Return what encoders see of the records, in words."""
        return f"{WHOLE_STAY}, and {self.window} beside it" if self.window else WHOLE_STAY

    def asked(self) -> dict[str, Any]:
        """Return what was asked for."""
        return {
            "seeds": self.seeds,
            "split_by": str(self.split_by),
            "encoder": asdict(self.settings),
        }

    def measure(self, given: Source, run: Run) -> Iterator[Record]:
        """Yield every figure, one kind of notes after the other. Raises InputError, EncoderError."""
        check_notes(given, "evaluate fineehr")
        run.begin("reading")
        units = read_units(given)
        run.counts |= {
            "admissions": len(units.ids),
            "patients": units.patients.nunique(),
            "died": int(units.died.sum()),
        }
        # All at once: what can't be split is told before the words of all notes are counted.
        splits = [split(units.patients, units.died, self.split_by, seed) for seed in range(self.seeds)]
        sources = {ALL_NOTES: given}
        if self.window is not None:
            sources[str(self.window)] = AsOf(given, self.window)
        run.begin("TF-IDF")
        seen = {notes: read_baselines(source) for notes, source in sources.items()}
        for notes, of in seen.items():
            run.counts[f"admissions with words, {notes}"] = int((~of.words.empty).sum())
        made, learnt, left_out = dict[str, list[Record]](), dict[str, Any](), dict[str, str]()
        # The one with fewer notes first: if they are too few, that is told at once.
        for notes, source in reversed(sources.items()):
            view = _View(notes=notes, source=source, seen=seen[notes], units=units, task=self, run=run)
            try:
                made[notes] = [one for seed, parts in enumerate(splits) for one in view.measure(seed, parts)]
                learnt[notes] = view.learnt
            except EncoderError as error:
                if len(sources) == 1 or left_out:
                    raise
                left_out[notes] = str(error)
        kept = [notes for notes in sources if notes in made]
        run.facts |= {"not_measured": left_out, "learnt": {notes: learnt[notes] for notes in kept}}
        for notes in kept:
            yield from made[notes]


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """One kind of notes, and all that is measured with it, split by split."""

    notes: str
    source: Source
    seen: Seen
    units: Units
    task: FineEhrTask
    run: Run
    learnt: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def baselines(self) -> dict[str, Scorer]:
        """Return what ranks without vectors."""
        return scorers_of(self.seen)

    def measure(self, seed: int, parts: Split) -> Iterator[Record]:
        """Train, encode, predict, retrieve."""

        def begin(stage: str) -> None:
            self.run.begin(stage, f"{self.notes}, seed {seed + 1} of {self.task.seeds}: {stage}")

        settings = [replace(self.task.settings, setting=name, seed=seed) for name in SETTINGS]
        trained = train(self.source, settings, listed(self.units.ids, parts.training), begin)
        encoders = {one.setting: FineEhr(one, part) for one, part in zip(settings, trained, strict=True)}
        if not self.learnt:
            self.learnt.update(encoders["full"].describe())
        begin("notes to vectors")
        vectors, concatenated = self._encode(encoders)
        vectors[TfIdf.name] = self.seen.words.tfidf(parts.training)
        begin("classifiers")
        TrainingIds(listed(self.units.ids, parts.training)).check(
            listed(self.units.ids, parts.train), "the classifiers"
        )
        for name, features in {**vectors, CONCATENATION: concatenated}.items():
            unimproved = encoders[name].unimproved if name in encoders else ""
            yield from self._predictions(name, features, seed, parts, unimproved)
        begin("retrieval")
        by_vectors: dict[str, Scorer] = {name: ByVectors(features) for name, features in vectors.items()}
        for name, scorer in (by_vectors | self.baselines).items():
            for one in precision_by_phenotype(
                scorer, self.units.phenotype, self.units.patient, parts.held_out
            ):
                setting = {"notes": self.notes, "encoder": name, "phenotype": one.phenotype, "seed": seed}
                yield from figures(
                    "retrieval", setting, queries=one.queries, precision=one.precision, base=one.base
                )

    def _encode(self, encoders: Mapping[str, FineEhr]) -> tuple[dict[str, Any], Any]:
        """Return the vectors of every unit, by encoder, and the concatenation of category means and presence flags."""
        words = encoders["full"].parts.words
        categories = sorted(set(encoders["full"].parts.weights) - {ANY})
        made: dict[str, list[Any]] = {name: [] for name in (*encoders, WORD2VEC, CONCATENATION)}
        for batch in self.source.batches():
            notes = note_vectors(batch, words)
            for name, encoder in encoders.items():
                made[name].append(encoder.encode_notes(notes))
            made[WORD2VEC].append(words.encode(batch))
            made[CONCATENATION].append(concatenation(notes, categories))
        stacked = {name: np.concatenate(parts) for name, parts in made.items()}
        return stacked, stacked.pop(CONCATENATION)

    def _predictions(
        self, name: str, features: Any, seed: int, parts: Split, unimproved: str
    ) -> Iterator[Record]:
        sides = [(features[rows], self.units.died[rows]) for rows in (parts.train, parts.test)]
        for classifier in ["logistic regression"] if name == TfIdf.name else CLASSIFIERS:
            scored = score(classifier, seed, *sides)
            setting = {"notes": self.notes, "encoder": name, "classifier": classifier, "seed": seed}
            yield from figures("predictions", setting, **scored._asdict(), unimproved=unimproved)


def read_baselines(source: Source) -> Seen:
    """Return what baselines compare, the codes of the phenotypes that neighbours are judged by withheld."""
    return Seen.read(WithheldSource(source, parse_withheld("all", text=False)))


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
