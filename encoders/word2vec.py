"""Word2Vec over the words of notes, or over codes as words; a patient is the weighted mean of its words.

Source: Mikolov et al., 2013, arXiv:1301.3781 (CBOW and skip-gram), trained by gensim; the weights: `encoders/sif.py`.
A unit is the mean over all words of its notes, scaled to length 1: long notes weigh more. Precision@10 on the 1,435
reports of mtsamples, `mean` and `sif`, five folds, seed 0 (paired 95 % interval of the difference):

    alike by                                    n      base   CBOW                     skip-gram
    one specialty in common                     1,435  .356   .780 .790 [.002, .016]   .824 .833 [.003, .016]
    the same list of specialties                1,331  .026   .196 .230 [.027, .042]   .310 .359 [.042, .057]
    one name                                    435    .004   .081 .097 [.009, .023]   .130 .151 [.013, .031]

The mean over the training units, which needs a second reading, is no better to take off than the mean of all words
(−.002 to .000). Nothing taken off (`weighted`) costs skip-gram .004, .024 and .010, CBOW −.002, .007 and .000.

Of codes, `mean`, `weighted` and `sif`: CBOW .341, .438, .311 on mimic3-demo (249 questions, base .27) and .336, .368,
.230 on mimic4-demo (226, .23); skip-gram .336, .355, .326 and .327, .313, .301; CBOW .808, .781, .691 on 1,000
synthetic patients (359, .18), where notes have .388, .493, .478 and both .388, .489, .477. What is taken off hurts
codes, so they are weighted.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import EncoderKind, Vectors
from cohorts.encoders.features.kept_notes import KeptNotes, NotesRead, Places, by_number
from cohorts.encoders.needs import check_notes
from cohorts.encoders.pooling import unit_rows, weighted_sum
from cohorts.encoders.saving import (
    check_cleaning,
    check_shape,
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.encoders.sif import Sif
from cohorts.errors import EncoderError
from cohorts.private_files import Scratch, open_private
from cohorts.records.base import Batch, Source
from cohorts.records.notes.cleaning import clean, cleaning_version, words

if TYPE_CHECKING:
    from cohorts.records.notes.splitting import Split

_MAX_RAW_VOCABULARY = 500_000  # words counted at once while reading; rare ones are forgotten beyond it
_INPUTS = ("notes", "codes", "both")
_POOLINGS = ("sif", "weighted", "mean")
_ROUNDING = 1e-6  # of the length of the longest word


@dataclass(frozen=True)
class Settings:
    """Training settings; `input` is what the words are: notes, codes or both.

    `pooling` is how their vectors become a unit's: `sif`, `weighted` (the same weights, nothing taken off) or `mean`;
    `auto` is `weighted` for codes alone and `sif` otherwise. `workers` are threads of the training: with more than one
    they race for the weights, which then differ from run to run.
    """

    dim: int = 128
    window: int = 5
    min_count: int = 5
    epochs: int = 5
    sg: int = 0  # 0 is CBOW, 1 skip-gram
    seed: int = 0
    input: str = "notes"
    pooling: str = "auto"
    workers: int = 1

    def __post_init__(self) -> None:
        if self.pooling == "auto":
            object.__setattr__(self, "pooling", "weighted" if self.input == "codes" else "sif")
        one_of("word2vec", self, input=_INPUTS, pooling=_POOLINGS)
        at_least_one("word2vec", self, "dim", "window", "min_count", "epochs", "workers")


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["word2vec"]
    fingerprint: str
    settings: Settings
    cleaning: str
    vocabulary: list[str]


class Word2Vec:
    """The encoder `word2vec`. Its vocabulary is kept in plain text: rare words of notes, names among them, do not
    enter it (`min_count`), frequent ones do.

    As long as the object is there that was trained, a file without a name in the source's `work_dir` holds the words of
    the notes by number: those notes are encoded without being cleaned once more.
    """

    name = "word2vec"
    uses_transformer = False

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.dim = self.settings.dim
        self._words: list[str] = []
        self._places: dict[str, int] = {}
        self._embedding: Vectors = np.empty((0, self.dim), np.float32)
        self._sif: Sif | None = None
        self._kept: KeptNotes | None = None
        self._pooled = self._embedding
        self._rounding = 0.0

    @property
    def needs_notes(self) -> bool:
        """Return whether its words are those of notes alone."""
        return self.settings.input == "notes"

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames of a batch that it looks at, beside units and codes."""
        return frozenset() if self.settings.input == "codes" else frozenset({"notes"})

    @property
    def counts(self) -> Mapping[str, int]:
        """Return nothing: all words are read."""
        return {}

    @property
    def vocabulary(self) -> list[str]:
        """Return the known words in the order of the weights' rows; none before `fit`."""
        return list(self._words)

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, cleaning, vocabulary and weights (hex). Raises EncoderError before `fit`."""
        self._check_fitted()
        digest = hashlib.sha256(json.dumps(_identity(self.settings), sort_keys=True).encode())
        for part in (cleaning_version(), "\n".join(self._words)):
            digest.update(part.encode() + b"\0")
        for tensor in self._tensors().values():
            digest.update(tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Train on the source, read in one pass. Same source, same weights, with one worker.

        Raises EncoderError where the source holds no words to learn from.
        """
        if self.needs_notes:
            check_notes(source, self.name)
        self._kept, read = None, NotesRead()
        with Scratch(source.work_dir) as folder:
            corpus = folder / "words"
            with open_private(corpus) as stream:
                self._write_corpus(source, stream, read)
            self._train(corpus)
            if self.settings.input != "codes":
                self._kept = KeptNotes(by_number(corpus, self._places, source.work_dir), read)
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a known word is a row of zeros."""
        return self.pool(self._rows(batch), len(batch))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, zeros as above. Raises EncoderError if fitted on codes alone."""
        if self.settings.input == "codes":
            raise EncoderError(
                "This word2vec was trained on codes alone and knows no text.",
                remedy="Query by patient.",
                hint="query_patient",
            )
        return self.pool(enumerate(self.places(words(clean(text))) for text in texts), len(texts))

    def encode_notes(self, texts: Sequence[str]) -> Vectors:
        """Return what `encode_text` returns, (len(texts), dim), of many texts: on all cores, and those learnt from as
        they were read then.
        """
        return self.pool(enumerate(self._notes(texts)), len(texts))

    def describe(self) -> Mapping[str, Any]:
        """Return settings and size."""
        return {**identity_of(self), "dim": self.dim, "vocabulary": len(self._words)}

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `model.safetensors` into `folder`."""
        more = {"cleaning": cleaning_version(), "vocabulary": self._words}
        write_about(folder, {**identity_of(self), **more})
        write_tensors(folder, self._tensors())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed.

        An earlier version, which had no `pooling`, took the mean: it stays that, with the fingerprint that it had.
        """
        about, tensors = _about(folder), read_tensors(folder)
        words, dim = len(about.vocabulary), about.settings.dim
        sif = None
        if about.settings.pooling != "mean":
            weight = check_shape(folder, tensors, "weight", (words,))
            sif = Sif(weight, check_shape(folder, tensors, "common", (dim,)))
        encoder = cls(about.settings)
        encoder._hold(about.vocabulary, check_shape(folder, tensors, "embedding", (words, dim)), sif)
        check_cleaning(about.cleaning, folder)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    def _write_corpus(self, source: Source, corpus: IO[str], read: NotesRead) -> None:
        """Write one sentence per line, words separated by spaces, and tell whose they are."""
        from cohorts.records.notes.splitting import splits

        for batch in source.batches():
            if self.settings.input != "codes":
                texts = batch.notes["text"].tolist()
                again = iter(texts)
                for lines, many in splits(texts, _lines):
                    corpus.write(lines)
                    for text, number in zip(islice(again, len(many)), many, strict=True):
                        read.add(text, number)
            if self.settings.input != "notes":
                for sentence in _code_sentences(batch):
                    corpus.write(" ".join(sentence) + "\n")
                    read.skip(len(sentence))

    def _train(self, corpus: Path) -> None:
        from gensim.models import Word2Vec as Gensim

        settings = self.settings
        model = Gensim(
            vector_size=settings.dim,
            window=settings.window,
            min_count=settings.min_count,
            sg=settings.sg,
            seed=settings.seed,
            workers=settings.workers,
            max_vocab_size=_MAX_RAW_VOCABULARY,
        )
        model.build_vocab(corpus_file=str(corpus))
        if not len(model.wv):
            raise EncoderError(self._nothing_to_learn(model.corpus_total_words))
        model.train(
            corpus_file=str(corpus),
            total_examples=model.corpus_count,
            total_words=model.corpus_total_words,
            epochs=settings.epochs,
        )
        known = model.wv
        counts = np.array([known.get_vecattr(word, "count") for word in known.index_to_key])
        share = counts / model.corpus_total_words
        sif = Sif.learn(share, known.vectors, centred=settings.pooling == "sif")
        self._hold(known.index_to_key, known.vectors, None if settings.pooling == "mean" else sif)

    def _nothing_to_learn(self, words: int) -> str:
        what = "notes or codes" if self.settings.input == "both" else self.settings.input
        if not words:
            return f"word2vec finds no word in the {what} of this source: there are none, or all are empty."
        return (
            f"word2vec finds no word that stands {self.settings.min_count} times in the {what} of this source. "
            "Lower it, as in word2vec:min_count=1."
        )

    def _hold(self, vocabulary: list[str], embedding: Vectors, sif: Sif | None = None) -> None:
        self._words = list(vocabulary)
        self._places = {word: place for place, word in enumerate(vocabulary)}
        self._embedding = np.ascontiguousarray(embedding, np.float32)
        self._sif = sif
        self._pooled = sif.centred(self._embedding) if sif else self._embedding
        self._rounding = _ROUNDING * float(np.linalg.norm(self._embedding, axis=1).max(initial=0))

    def _tensors(self) -> dict[str, Vectors]:
        more = {"weight": self._sif.weight, "common": self._sif.common} if self._sif else {}
        return {"embedding": self._embedding, **more}

    def _rows(self, batch: Batch) -> Iterator[tuple[int, Places]]:
        """Yield (row of the unit, places of known words) for every note and every code."""
        place = {unit: row for row, unit in enumerate(batch.units["unit_id"])}
        if self.settings.input != "codes":
            notes = self._notes(batch.notes["text"].tolist())
            for unit, places in zip(batch.notes["unit_id"], notes, strict=True):
                yield place[unit], places
        if self.settings.input != "notes":
            for unit, token in zip(batch.codes["unit_id"], _code_words(batch), strict=True):
                yield place[unit], self.places([token])

    def _notes(self, texts: Sequence[str]) -> Iterator[Places]:
        """Yield the places of each note's known words; those learnt from are not cleaned again."""
        from cohorts.records.notes.splitting import splits

        kept = self._kept.find(texts) if self._kept else [None] * len(texts)
        others = [text for text, places in zip(texts, kept, strict=True) if places is None]
        made = chain.from_iterable(splits(others, self._places_of))
        for places in kept:
            yield next(made) if places is None else places

    def _places_of(self, made: "Split") -> list[Places]:
        places = np.fromiter(map(self._places.get, made.vocabulary, repeat(-1)), np.int32)[made.words]
        return [part[part >= 0] for part in np.split(places, made.texts[1:-1])]

    def places(self, tokens: Iterable[str]) -> Places:
        """Return the rows of the embedding of those of the words that are known, (m,), in their order."""
        return np.array([place for place in map(self._places.get, tokens) if place is not None], np.int32)

    def pool(self, rows: Iterable[tuple[int, Places]], count: int) -> Vectors:
        """Return (count, dim) unit rows: counts of words times the embedding; zeros without a known word.

        `rows` are places of words in the embedding, by the row that they count in. A unit that is all that the units
        have in common, as the only one is, keeps that: no known word is no row.
        """
        self._check_fitted()
        known: defaultdict[int, list[Places]] = defaultdict(list)
        for row, places in rows:
            known[row].append(places)
        sums = np.zeros((count, self.dim), np.float32)  # a mean and its sum have one direction
        for row, parts in known.items():
            sums[row] = self._summed(*np.unique(np.concatenate(parts), return_counts=True))
        return unit_rows(sums)

    def _summed(self, places: Places, times: npt.NDArray[np.int64]) -> Vectors:
        """Return the sum of a unit's word vectors, (dim,), less what is common where that leaves more than rounding."""
        counts = times.astype(np.float32)
        whole = weighted_sum(counts, self._pooled[places])
        if self._sif is None:
            return whole
        weight = self._sif.weight[places]
        if np.linalg.norm(whole) >= self._rounding * (counts @ weight):
            return whole
        return weighted_sum(counts, weight[:, None] * self._embedding[places])

    def _check_fitted(self) -> None:
        if not self._words:
            raise EncoderError("This word2vec is not trained yet: call fit, or load a saved one.")


def _about(folder: Path) -> _About:
    """Return what `save` wrote, also where an earlier version did. Raises EncoderError."""
    about = read_about(folder, _About)
    if "pooling" in read_about(folder, dict[str, Any])["settings"]:
        return about
    return replace(about, settings=replace(about.settings, pooling="mean"))


def _identity(settings: Settings) -> dict[str, Any]:
    """Return what a fingerprint depends on, less what every earlier version did and told nothing of."""
    told = asdict(settings)
    if settings.pooling == "mean":
        del told["pooling"]
    if settings.workers == 1:
        del told["workers"]
    return told


def _lines(made: "Split") -> tuple[str, list[int]]:
    """Return the sentences of some texts, one per line, and how many words each text has."""
    known, written = len(made.vocabulary), made.words.copy()
    written[made.sentences[1:] - 1] += known
    spelt = [word + mark for mark in " \n" for word in made.vocabulary]
    return "".join(map(spelt.__getitem__, written.tolist())), np.diff(made.texts).tolist()


def _code_words(batch: Batch) -> list[str]:
    """Return one word per code: icd-9:4019, name:heparin_sodium."""
    system = batch.codes["system"].str.lower()
    code = batch.codes["code"].str.lower().str.replace(r"\s+", "_", regex=True)
    return list(system + ":" + code)


def _code_sentences(batch: Batch) -> Iterator[list[str]]:
    """Yield the codes of each unit and admission as one sentence, in the batch's order."""
    keys = batch.codes[["unit_id", "admission_id"]].fillna("")
    words_of = batch.codes.assign(word=_code_words(batch), **keys)
    for _, group in words_of.groupby(["unit_id", "admission_id"], sort=False):
        yield group["word"].tolist()


KIND = EncoderKind(settings=Settings, make=Word2Vec, load=Word2Vec.load)
