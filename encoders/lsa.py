"""The encoder `lsa`: latent semantic analysis of notes. A unit is the words of all its notes.

TF-IDF with 1 + ln(count), then truncated SVD (features/latent.py). The source is read once: the words are counted in
bounded memory, and the SVD is of at most `sample` units, drawn by lot.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cohorts.encoders.base import EncoderKind, Vectors
from cohorts.encoders.features.kept_notes import KeptRows
from cohorts.encoders.features.latent import Latent, LatentEncoder
from cohorts.encoders.features.words import Vocabulary, WordSample
from cohorts.encoders.needs import check_notes
from cohorts.encoders.saving import (
    check_cleaning,
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.settings import at_least_one, check_share
from cohorts.errors import EncoderError
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.cleaning import cleaning_version


@dataclass(frozen=True)
class Settings:
    """`dim` numbers a vector, the last of them padding: of fewer units or words than that, the rest are zeros.

    Words count that stand in `min_df` units, and in no more than a share of `max_df`; of more than `max_words`, those
    of most units. `ngrams` words in a row are a word too.
    """

    dim: int = 256
    min_df: int = 1
    max_df: float = 1.0
    ngrams: int = 1
    max_words: int = 50_000
    sample: int = 5_000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least_one("lsa", self, "min_df", "ngrams", "max_words", "sample")
        at_least_one("lsa", self, "dim", least=2)
        check_share("lsa", self, "max_df")


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["lsa"]
    fingerprint: str
    settings: Settings
    cleaning: str
    directions: int
    words: list[str]


@dataclass(frozen=True)
class _Parts:
    words: Vocabulary
    space: Latent


class Lsa(LatentEncoder[Settings, _Parts]):
    """The encoder `lsa`."""

    name = "lsa"
    needs_notes = True
    reads = frozenset({"notes"})

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings())
        self._kept: KeptRows | None = None

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many units with notes have no word that was learnt."""
        return {"units of words that were not learnt": self._unseen}

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, cleaning, words and weights (hex). Raises EncoderError before `fit`."""
        parts = self._parts
        digest = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode())
        for part in (cleaning_version(), "\n".join(parts.words.hashes)):
            digest.update(part.encode() + b"\0")
        for _, tensor in sorted(parts.space.tensors().items()):
            digest.update(tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Learn words and directions from the source, in one pass. Same source, same weights.

        Raises EncoderError where the source holds no words to learn from.
        """
        check_notes(source, self.name)
        settings = self.settings
        texts = (text for batch in source.batches() for text in joined_notes(batch))
        sample = WordSample(settings.sample, settings.ngrams, settings.seed, source.work_dir).add(texts)
        if not sample.units:
            raise EncoderError(
                "lsa finds no word in the notes of this source: there are none, or all are empty."
            )
        words, having, rows = sample.learn(settings.min_df, settings.max_df, settings.max_words)
        if not len(words):
            raise EncoderError(
                f"No word of the notes stands in {settings.min_df} units, and in no more than {settings.max_df:.0%} of "
                f"them. There are {sample.units:,}: give others, as in lsa:min_df=1,max_df=1."
            )
        space = Latent.learn(rows, having, sample.units, self.dim, sublinear=True, seed=settings.seed)
        if not space.directions.shape[1]:
            raise EncoderError(
                f"lsa learnt nothing: of the {rows.shape[0]:,} units drawn none has a word that is kept. There are "
                f"{sample.units:,} units: draw more, as in lsa:sample={sample.units}."
            )
        self._learnt, self._kept, self._unseen = _Parts(words, space), sample.kept, 0
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a word that was learnt is a row of zeros.

        Units learnt from are not split again. For others all cores work, each on some MB of notes.
        """
        from cohorts.records.notes.splitting import Split, splits

        parts, texts = self._parts, joined_notes(batch)

        def units(made: Split) -> Vectors:
            return parts.space.units(parts.words.rows(made))

        made, known = np.zeros((len(texts), self.dim), np.float32), np.zeros(len(texts), np.bool_)
        if self._kept:
            known, rows = self._kept.find(texts)
            made[known] = parts.space.units(rows)
        others = [text for text, is_known in zip(texts, known.tolist(), strict=True) if not is_known]
        if others:
            made[~known] = np.concatenate(list(splits(others, units)))
        self._unseen += sum(map(bool, map(str.strip, texts))) - int(made.any(axis=1).sum())
        return made

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows to ask by, without padding; zeros as above."""
        return self._parts.space.questions([self._parts.words.row(text) for text in texts])

    def explain_text(self, text: str, found: Vectors) -> list[list[tuple[str, float]]]:
        """Return, for each of the units found (n, dim), what each word of a text adds to the cosine, the most first."""
        known, row = self._parts.words.known(text)
        parts = self._parts.space.contributions(row, found)
        return [
            [(known[place], float(column[place])) for place in np.argsort(-column, kind="stable")]
            for column in parts.T
        ]

    def describe(self) -> Mapping[str, Any]:
        """Return settings and size."""
        parts = self._parts
        size = {"words": len(parts.words), "directions": parts.space.directions.shape[1]}
        return {**identity_of(self), "dim": self.dim, **size}

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `model.safetensors` into `folder`."""
        parts = self._parts
        more = {"cleaning": cleaning_version(), "directions": parts.space.directions.shape[1]}
        write_about(folder, {**identity_of(self), **more, "words": parts.words.hashes})
        write_tensors(folder, parts.space.tensors())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed."""
        about = read_about(folder, _About)
        encoder, tensors = cls(about.settings), read_tensors(folder)
        shape = len(about.words), about.directions
        space = Latent.restore(folder, tensors, shape, encoder.dim, sublinear=True)
        encoder._learnt = _Parts(Vocabulary(about.words, about.settings.ngrams), space)
        check_cleaning(about.cleaning, folder)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder


KIND = EncoderKind(settings=Settings, make=Lsa, load=Lsa.load)
