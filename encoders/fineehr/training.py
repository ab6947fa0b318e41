"""How FineEHR is trained: words, then a network per category of notes, then the categories' weights."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders import word2vec
from cohorts.encoders.base import Vectors
from cohorts.encoders.fineehr.category_weights import learn_weights, start_of
from cohorts.encoders.fineehr.note_vectors import Labelled, labelled
from cohorts.encoders.fineehr.siamese import Refiner, SiameseSettings, Trace, can_learn, train_refiner
from cohorts.encoders.needs import check_notes
from cohorts.encoders.pooling import group_means
from cohorts.encoders.settings import one_of
from cohorts.encoders.training import MAX_STEPS, PATIENCE, Checked, TrainingIds, held_back
from cohorts.encoders.word2vec import Word2Vec
from cohorts.errors import EncoderError
from cohorts.records.base import Source
from cohorts.records.transforms import Subset


class Stages(NamedTuple):
    """What a setting does: networks that refine the notes, weights of the categories, a mean by category first."""

    refines: bool
    weighs: bool
    by_category: bool


# The paper's four, then ours: what `weight` and `full` do but for the weights.
SETTINGS: Mapping[str, Stages] = {
    "baseline": Stages(refines=False, weighs=False, by_category=False),
    "metric": Stages(refines=True, weighs=False, by_category=False),
    "weight": Stages(refines=False, weighs=True, by_category=True),
    "full": Stages(refines=True, weighs=True, by_category=True),
    "categories": Stages(refines=False, weighs=False, by_category=True),
    "metric-categories": Stages(refines=True, weighs=False, by_category=True),
}
WEIGHTS = ("scalar", "map")
HISTORIES = ("last", "mean", "decay")
ANY = "*"  # in place of a category: notes of unknown and rare categories, and queries by text

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How it is trained, and how a patient's admissions become one vector (`history`): last, mean or decay.

    `sg` (0 is CBOW, 1 skip-gram) and `workers` are as of word2vec. `margin`, `steps` and `patience` are the networks';
    `weights` is scalar or map.
    """

    setting: str = "full"
    dim: int = 128
    window: int = 5
    min_count: int = 5
    epochs: int = 5
    sg: int = 0
    seed: int = 0
    margin: float = 2.0
    steps: int = MAX_STEPS
    patience: int = PATIENCE
    weights: str = "scalar"
    history: str = "last"
    half_life_days: float = 365.0
    workers: int = 1

    def __post_init__(self) -> None:
        one_of("fineehr", self, setting=tuple(SETTINGS), weights=WEIGHTS, history=HISTORIES)
        for name in ("margin", "steps", "patience", "half_life_days"):
            if not getattr(self, name) > 0:
                raise EncoderError(f"fineehr {name} is {getattr(self, name)}; it must be above 0.")
        _ = self.words

    @property
    def words(self) -> word2vec.Settings:
        """Return the settings of the word vectors, whose plain mean a note is, as in the paper. Raises EncoderError."""
        names = ("dim", "window", "min_count", "epochs", "sg", "seed", "workers")
        return word2vec.Settings(**{name: getattr(self, name) for name in names}, pooling="mean")

    @property
    def siamese(self) -> SiameseSettings:
        """Return the settings of the networks."""
        return SiameseSettings(self.margin, self.steps, self.patience, self.seed)

    @property
    def stages(self) -> Stages:
        """Return what this setting does."""
        return SETTINGS[self.setting]


@dataclass(frozen=True)
class Parts:
    """What is learnt. Networks, weights (0-d, or (dim, dim)) and how training went, by category of notes and `ANY`."""

    words: Word2Vec
    refiners: Mapping[str, Refiner] = field(default_factory=dict)
    weights: Mapping[str, Vectors] = field(default_factory=dict)
    traces: Mapping[str, Trace] = field(default_factory=dict)

    @property
    def networks_idle(self) -> bool:
        """Tell whether no step of any network's training was an improvement: each is as it began, the identity."""
        return bool(self.traces) and all(trace.kept_step == 0 for trace in self.traces.values())

    @property
    def weights_idle(self) -> bool:
        """Tell whether no step was an improvement of the weights: they are as they began, all alike."""
        own = [one for name, one in self.weights.items() if name != ANY]
        return bool(own) and all(np.array_equal(one, start_of(one, len(own))) for one in own)


def train(
    source: Source, settings: Sequence[Settings], training: Set[str] | None, stage: Stage = lambda _: None
) -> list[Parts]:
    """Train what the settings need, each part once; they differ in `setting` alone. `stage` is told what begins.

    Raises EncoderError where there is nothing to learn from, LeakageError where units that are not of `training`
    reach a trained part.
    """
    check_notes(source, "fineehr")
    allowed, first = TrainingIds(training), settings[0]
    seen = source if training is None else Subset(source, training)
    stage("words")
    read = Checked(seen, allowed, "the word vectors")
    words = Word2Vec(first.words).fit(read)
    if not any(one.stages.refines or one.stages.weighs for one in settings):
        return [Parts(words) for _ in settings]
    stage("notes to vectors")
    sample = labelled(Checked(seen, allowed, "the networks and weights").batches(), words, read.notes)
    stage("networks")
    learner = Learner(sample, first)
    refiners, traces = learner.refiners() if any(one.stages.refines for one in settings) else ({}, {})
    stage("category weights")
    return [
        Parts(
            words,
            refiners if one.stages.refines else {},
            learner.weights(refiners if one.stages.refines else {}) if one.stages.weighs else {},
            traces if one.stages.refines else {},
        )
        for one in settings
    ]


def refine(vectors: Vectors, category: npt.NDArray[np.str_], refiners: Mapping[str, Refiner]) -> Vectors:
    """Return the notes, (n, dim), each refined by its category's network; as they are where there is none."""
    if not refiners:
        return vectors
    refined = np.empty_like(vectors)
    for name in np.unique(category):
        rows = category == name
        refined[rows] = _refiner_of(str(name), refiners).refine(vectors[rows])
    return refined


class Learner:
    """Trains networks and weights on the notes of some units, a part of whose patients is held back."""

    def __init__(self, sample: Labelled, settings: Settings) -> None:
        notes = sample.notes
        self._notes, self._died, self._settings = notes, sample.died, settings
        self._validation = held_back(sample.patients, settings.seed)
        of_category = {
            str(name): np.flatnonzero(notes.category == name) for name in np.unique(notes.category)
        }
        self._learnable = {name: rows for name, rows in of_category.items() if self._can_learn(rows)}
        if not self._learnable:
            raise EncoderError(
                "fineehr learns from who died in hospital, and this source has too few notes of units that died, or of "
                "units that survived, in every category. Use fineehr:baseline, or a larger source."
            )

    def _can_learn(self, rows: npt.NDArray[np.intp]) -> bool:
        unit = self._notes.unit[rows]
        return can_learn(self._died[unit], self._validation[unit])

    def refiners(self) -> tuple[dict[str, Refiner], dict[str, Trace]]:
        """Train a network per category, and one on all notes for what has no category of its own."""
        notes, found = self._notes, {}
        for name, rows in {**self._learnable, ANY: np.arange(len(notes.vectors))}.items():
            unit = notes.unit[rows]
            found[name] = train_refiner(
                notes.vectors, rows, self._died[unit], self._validation[unit], self._settings.siamese
            )
        return {name: one for name, (one, _) in found.items()}, {
            name: trace for name, (_, trace) in found.items()
        }

    def weights(self, refiners: Mapping[str, Refiner]) -> dict[str, Vectors]:
        """Learn the weights of the categories, (dim, dim) each; what has none of its own gets their mean."""
        names = sorted(self._learnable)
        unit_of = {name: self._notes.unit[self._learnable[name]] for name in names}
        some = np.unique(np.concatenate(list(unit_of.values())))  # those with a note to learn from
        means = np.zeros((len(some), len(names), self._settings.dim), np.float32)
        for place, name in enumerate(names):
            vectors = self._notes.vectors[self._learnable[name]]
            if refiners:
                vectors = _refiner_of(name, refiners).refine(vectors)
            means[:, place] = group_means(vectors, np.searchsorted(some, unit_of[name]), len(some))
        learnt = learn_weights(
            means,
            self._died[some],
            self._validation[some],
            self._settings.weights,
            self._settings.seed,
        )
        return {**dict(zip(names, learnt, strict=True)), ANY: learnt.mean(axis=0)}


def _refiner_of(category: str, refiners: Mapping[str, Refiner]) -> Refiner:
    return refiners.get(category, refiners[ANY])
