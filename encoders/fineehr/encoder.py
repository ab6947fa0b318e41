"""FineEHR: notes as means of word vectors, refined and weighed by category for what tells who died.

Source: Wu et al., 2023, arXiv:2304.11794. `baseline` is the mean of all notes; `metric` that of the notes refined by a
Siamese network per category; `weight` weighs the categories; `full` does both. `categories` and `metric-categories` are
`weight` and `full` with weights that are all alike. docs/fineehr.md says where the paper is silent, what was chosen,
and what was measured.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cohorts.encoders.base import EncoderKind, Vectors
from cohorts.encoders.fineehr.category_weights import category_means, pool
from cohorts.encoders.fineehr.note_vectors import NoteVectors, note_vectors
from cohorts.encoders.fineehr.siamese import Refiner, Trace
from cohorts.encoders.fineehr.training import ANY, SETTINGS, Parts, Settings, Stages, refine, train
from cohorts.encoders.pooling import group_means, unit_rows
from cohorts.encoders.saving import (
    AGAIN,
    TENSORS,
    check_shape,
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.word2vec import Word2Vec
from cohorts.errors import EncoderError
from cohorts.records.base import Batch, Source

_WORDS = "words"  # the folder of the word vectors, which are an encoder of their own
_ONCE_CALLED = {"categories": "baseline", "metric-categories": "metric"}  # until these two became the paper's
_LONG_AGO_DAYS = -1e6  # the end of a stay whose notes have no time


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["fineehr"]
    fingerprint: str
    settings: Settings
    training: Mapping[str, Trace]


class FineEhr:
    """The encoder `fineehr`. Its words stand in plain text, as those of word2vec do."""

    name = "fineehr"
    uses_transformer = False
    needs_notes = True
    reads = frozenset({"notes"})

    def __init__(self, settings: Settings | None = None, parts: Parts | None = None) -> None:
        self.settings = settings or Settings()
        self.dim = self.settings.dim
        self.parts = parts or Parts(Word2Vec(self.settings.words))

    @property
    def counts(self) -> Mapping[str, int]:
        """Return nothing: all words are read."""
        return {}

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, words and weights (hex). Raises EncoderError before `fit`."""
        facts = asdict(self.settings)
        facts["setting"] = _ONCE_CALLED.get(self.settings.setting, self.settings.setting)
        if not self.settings.stages.by_category:
            facts["mean_of"] = "all notes"
        if self.settings.workers == 1:
            del facts["workers"]  # of which earlier versions told nothing
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(self.parts.words.fingerprint.encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + b"\0" + tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source, training: Set[str] | None = None) -> Self:
        """Train on the units whose ids are in `training`, on all where None. Same source, same weights.

        Raises EncoderError where there is nothing to learn from, LeakageError where others reach a trained part.
        """
        (self.parts,) = train(source, [self.settings], training)
        return self

    @property
    def unimproved(self) -> str:
        """Return whose training brought nothing, and to which setting this one is equal; "" where all brought some."""
        idle = {
            "category weights": self.parts.weights_idle,
            "networks": self.parts.networks_idle,
        }
        if not any(idle.values()):
            return ""
        asked = self.settings.stages
        left = Stages(
            refines=asked.refines and not idle["networks"],
            weighs=asked.weighs and not idle["category weights"],
            by_category=asked.by_category,
        )
        same = next(name for name, stages in SETTINGS.items() if stages == left)
        which = " and of the ".join(part for part, is_idle in idle.items() if is_idle)
        return f"no step of the training of the {which} was an improvement: it is equal to {same}"

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a known word is a row of zeros."""
        return self.encode_notes(note_vectors(batch, self.parts.words))

    def encode_notes(self, notes: NoteVectors) -> Vectors:
        """Return (notes.units, dim) float32 unit rows of notes that are vectors of this encoder's words."""
        refined = refine(notes.vectors, notes.category, self.parts.refiners)
        if not self.settings.stages.by_category:
            stays = unit_rows(group_means(refined, notes.stay, len(notes.stay_unit)))
            return unit_rows(self._shares(notes) @ stays)
        names, index = np.unique(notes.category, return_inverse=True)
        means, _ = category_means(refined, notes.stay, index, (len(notes.stay_unit), len(names)))
        stays = pool(means, self._weights_of(names.tolist()))
        return unit_rows(self._shares(notes) @ stays)

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, zeros as above: a text is a note of no known category."""
        notes = self.parts.words.encode_text(texts)
        known = notes.any(axis=1)
        refined = refine(notes[known], np.full(known.sum(), ANY), self.parts.refiners)
        vectors = np.zeros_like(notes)
        vectors[known] = pool(refined[:, None], self._weights_of([ANY]))
        return vectors

    def describe(self) -> Mapping[str, Any]:
        """Return settings, size, weights, and how the training of each network went."""
        weights = {name: _strength(one) for name, one in self.parts.weights.items() if name != ANY}
        return {
            **identity_of(self),
            "dim": self.dim,
            "vocabulary": len(self.parts.words.vocabulary),
            "weights": dict(sorted(weights.items(), key=lambda pair: -pair[1])),
            "training": self._training(),
            "unimproved": self.unimproved,
        }

    def save(self, folder: Path) -> None:
        """Write `encoder.json`, `model.safetensors` and the words' own folder into `folder`."""
        self.parts.words.save(folder / _WORDS)
        write_about(folder, {**identity_of(self), "training": self._training()})
        write_tensors(folder, self._tensors())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed.

        What an earlier version saved as baseline or metric was the mean of category means: it is read as what that is
        called now, with the fingerprint that it had.
        """
        about, words_known = read_about(folder, _About), Word2Vec.load(folder / _WORDS)
        if words_known.settings != about.settings.words:
            raise EncoderError(f"{folder / _WORDS} holds the words of another encoder. {AGAIN}")
        encoder = cls(about.settings, _parts(folder, about, words_known))
        for now, once in _ONCE_CALLED.items():
            if about.settings.setting == once and encoder.fingerprint != about.fingerprint:
                encoder = cls(replace(about.settings, setting=now), encoder.parts)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    def _weights_of(self, names: list[str]) -> Vectors:
        """Return the weights of some categories, (names,) or (names, dim, dim): all alike where none are learnt."""
        learnt = self.parts.weights
        if not learnt:
            return np.ones(len(names), np.float32)
        return np.stack([learnt.get(name, learnt[ANY]) for name in names])

    def _shares(self, notes: NoteVectors) -> Any:
        """Return how much each stay counts in its unit's vector, sparse (units, stays): `history`."""
        from scipy.sparse import csr_array

        unit, stays = notes.stay_unit, np.arange(len(notes.stay_unit))
        end_days = notes.stay_end.astype(np.float64) / 86_400e6
        end_days[np.isnat(notes.stay_end)] = _LONG_AGO_DAYS
        if self.settings.history == "last":
            order = np.lexsort((end_days, unit))
            last = order[np.flatnonzero(np.append(np.diff(unit[order]), 1))]
            share = np.isin(stays, last).astype(np.float32)
        elif self.settings.history == "mean":
            share = np.ones(len(stays), np.float32)
        else:
            latest = np.full(notes.units, -np.inf)
            np.maximum.at(latest, unit, end_days)
            share = (0.5 ** ((latest[unit] - end_days) / self.settings.half_life_days)).astype(np.float32)
        return csr_array((share, (unit, stays)), shape=(notes.units, len(stays)))

    def _training(self) -> dict[str, dict[str, Any]]:
        """Return how the training of each network went, by category."""
        return {name: trace._asdict() for name, trace in self.parts.traces.items()}

    def _tensors(self) -> dict[str, Vectors]:
        refiners = {
            f"refiner/{name}/{part}": tensor
            for name, refiner in self.parts.refiners.items()
            for part, tensor in refiner._asdict().items()
        }
        return refiners | {f"weight/{name}": np.asarray(one) for name, one in self.parts.weights.items()}


def _parts(folder: Path, about: _About, words_known: Word2Vec) -> Parts:
    """Return the parts that `save` wrote. Raises EncoderError for weights that are no networks of this size."""
    tensors, dim = read_tensors(folder), about.settings.dim
    refiners: dict[str, Refiner] = {}
    weights: dict[str, Vectors] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "weight":
            shape = () if tensor.ndim == 0 else (dim, dim)
            weights[name] = check_shape(folder, tensors, key, shape)
        elif (name := name.rpartition("/")[0]) not in refiners:
            refiners[name] = _refiner(folder, tensors, f"refiner/{name}", dim)
    lacking = any(learnt and ANY not in learnt for learnt in (refiners, weights))
    if lacking or len({one.ndim for one in weights.values()}) > 1:
        raise EncoderError(
            f"{folder / TENSORS} is damaged: weights are not of one kind, or not for every category. {AGAIN}"
        )
    return Parts(words_known, refiners, weights, dict(about.training))


def _refiner(folder: Path, tensors: Mapping[str, Vectors], key: str, dim: int) -> Refiner:
    bias = tensors.get(f"{key}/inner_bias")
    wide = 0 if bias is None else bias.size
    shapes = {"inner": (wide, dim), "inner_bias": (wide,), "outer": (dim, wide), "outer_bias": (dim,)}
    return Refiner(
        **{part: check_shape(folder, tensors, f"{key}/{part}", shape) for part, shape in shapes.items()}
    )


def _strength(weight: Vectors) -> float:
    """Return a scalar weight, or the factor by which a map changes the length of a vector of random direction."""
    return float(weight) if weight.ndim == 0 else float(np.linalg.norm(weight) / len(weight) ** 0.5)


KIND = EncoderKind(settings=Settings, make=FineEhr, load=FineEhr.load)
