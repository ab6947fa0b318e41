"""The encoder `bert`: notes through any BERT-like checkpoint, a patient as the mean of the notes.

Every note is cut into windows: a note is the mean of its windows, and a unit the mean of its notes. `level` says what a
window is: a part of the note as it runs, a segment or a sentence. `pooling` says what a window's vector is: the mean of
its tokens (`chunk-mean`), its [CLS] (`chunk-cls`), or what the modules of a sentence-transformers folder make of them
(`modules`); `auto` is `modules` where the folder has some, else `chunk-mean`. `cls-truncate` is the way of the
gated-fusion paper: all notes in one text, the [CLS] of its first window; what stands behind is not seen. `cleaning`
says how notes are cleaned: `cased` leaves case and abbreviations, `normalized` lowers the one and writes out the other.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cohorts.encoders.base import EncoderKind, Vectors
from cohorts.encoders.bert.checkpoints import (
    Checkpoint,
    content_hash,
    find_checkpoint,
    load_checkpoint,
    width_of,
)
from cohorts.encoders.bert.note_cache import Embedded, NoteCache
from cohorts.encoders.bert.openvino import check_installed
from cohorts.encoders.bert.sentence_folder import WindowModules, check_modules, modules_of
from cohorts.encoders.bert.transformer import OPENVINO, PRECISIONS, Transformer, Window, best_precision
from cohorts.encoders.bert.windows import LEVELS, windows_at
from cohorts.encoders.features.kept_notes import text_key
from cohorts.encoders.needs import check_notes
from cohorts.encoders.pooling import group_means, unit_rows
from cohorts.encoders.saving import identity_of, is_folder, read_about, write_about
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.errors import EncoderError
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.cleaning import STEPS, clean, cleaning_version

_KEPT_AT_ONCE = 500  # texts: what a run that is ended early loses at most
POOLINGS = ("auto", "modules", "chunk-mean", "chunk-cls", "cls-truncate")
CLEANING = ("placeholders", "timestamps", "hospital_numbers", "whitespace")
CLEANINGS = {"cased": CLEANING, "normalized": tuple(STEPS)}
_AT_FIRST = {"level": "note", "cleaning": "cased"}


@dataclass(frozen=True)
class Settings:
    """`model` is a folder, a preset or a Hugging Face id; windows share `overlap` tokens.

    A note is read as far as `max_windows` windows of the model's length would hold, whatever the `level`.
    """

    model: str = "clinicalbert"
    pooling: str = "auto"
    overlap: int = 64
    max_windows: int = 32
    precision: str = "auto"
    level: str = "note"
    cleaning: str = "cased"

    def __post_init__(self) -> None:
        one_of("bert", self, pooling=POOLINGS, precision=("auto", *PRECISIONS), level=tuple(LEVELS))
        one_of("bert", self, cleaning=tuple(CLEANINGS))
        at_least_one("bert", self, "max_windows")
        if self.pooling == "cls-truncate" and self.level != "note":
            raise EncoderError(f"bert pooling=cls-truncate reads whole notes: leave level={self.level} out.")


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["bert"]
    fingerprint: str
    settings: Settings


class Bert:
    """The encoder `bert`. Nothing of it is trained; weights are read when they are first needed."""

    name = "bert"
    uses_transformer = True
    needs_notes = True
    reads = frozenset({"notes"})

    def __init__(self, settings: Settings | None = None) -> None:
        asked = settings or Settings()
        # Which precision it was is a part of what the vectors are: chosen once, kept with the encoder.
        self.settings = replace(
            asked, precision=best_precision() if asked.precision == "auto" else asked.precision
        )
        self.counts: Counter[str] = Counter()

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return its checkpoint, by folder, preset or Hugging Face id."""
        return [self.settings.model]

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where it could not encode; no weights are read."""
        width_of(self._folder)
        _ = self.pooling
        if self.settings.precision == OPENVINO:
            check_installed()

    @cached_property
    def _folder(self) -> Path:
        return find_checkpoint(self.settings.model)

    @cached_property
    def _checkpoint_hash(self) -> str:
        return content_hash(self._folder)

    @cached_property
    def _transformer(self) -> Transformer:
        return Transformer(load_checkpoint(self._folder), self.settings.precision)

    @property
    def checkpoint(self) -> Checkpoint:
        """Return tokenizer and model, which the encoder goes on with: train a copy. Raises CheckpointNotFound."""
        return self._transformer.checkpoint

    @cached_property
    def pooling(self) -> str:
        """Return the pooling, which of `auto` the folder decides. Raises CheckpointNotFound, EncoderError."""
        asked, modules = self.settings.pooling, modules_of(self._folder)
        if asked == "modules" and not modules:
            raise EncoderError(
                f"{self.settings.model} has no modules of sentence-transformers: leave pooling=modules out."
            )
        if not modules or asked not in ("auto", "modules"):
            return "chunk-mean" if asked == "auto" else asked
        check_modules(self._folder)
        return "modules"

    @cached_property
    def window_pooling(self) -> str | WindowModules:
        """Return what makes a window's vector of its tokens': mean, cls or the folder's modules."""
        if self.pooling == "modules":
            return WindowModules(self._folder, width_of(self._folder))
        return "mean" if self.pooling == "chunk-mean" else "cls"

    @cached_property
    def _cache(self) -> NoteCache:
        return NoteCache(self.fingerprint)

    @cached_property
    def dim(self) -> int:
        """Return the model's width, or that of what its modules make. Raises CheckpointNotFound, EncoderError."""
        return width_of(self._folder) if isinstance(self.window_pooling, str) else self.window_pooling.dim

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash over the checkpoint's files, the settings and the cleaning (hex).

        Raises CheckpointNotFound, EncoderError.
        """
        kept = {**asdict(self.settings), "pooling": self.pooling}
        del kept["model"]
        for name, value in _AT_FIRST.items():  # what was encoded before there was a choice stays what it is
            if kept[name] == value:
                del kept[name]
        parts = (self._checkpoint_hash, json.dumps(kept, sort_keys=True), cleaning_version())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Return self: the checkpoint is taken as it is. Raises CheckpointNotFound, EncoderError."""
        check_notes(source, self.name)
        _ = self._transformer, self.window_pooling
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a note is a row of zeros."""
        if self.settings.pooling == "cls-truncate":
            return self.encode_text(joined_notes(batch))
        return pool_notes(batch, self.encode_notes(batch.notes["text"].tolist()))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, zeros for a text without a token."""
        return unit_rows(self.encode_notes(texts))

    def describe(self) -> Mapping[str, Any]:
        """Return settings, size, and the modules of the checkpoint's folder that are used."""
        about = {**self._identity(), "dim": self.dim, "checkpoint": self._checkpoint_hash}
        if self.pooling == "modules":
            about["modules"] = [module.name for module in modules_of(self._folder)]
        return about

    def save(self, folder: Path) -> None:
        """Write `encoder.json`: which checkpoint it is, and the hash of its files. The weights stay where they are."""
        about = self._identity()
        if is_folder(self.settings.model):
            about["settings"]["model"] = str(Path(self.settings.model).resolve())
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where the checkpoint is gone or another one."""
        about = read_about(folder, _About)
        encoder = cls(about.settings)
        if encoder.fingerprint != about.fingerprint:
            raise EncoderError(
                f"The checkpoint {encoder.settings.model} is not the one that the encoder in {folder} was made with."
            )
        return encoder

    def _identity(self) -> dict[str, Any]:
        about = identity_of(self)
        about["settings"]["pooling"] = self.pooling
        return about

    def cleaned(self, texts: Sequence[str]) -> list[str]:
        """Return the texts as the tokenizer gets them."""
        return [clean(text, CLEANINGS[self.settings.cleaning]) for text in texts]

    def encode_notes(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32, of any length: each text's vector, from the cache where it is known."""
        cleaned = self.cleaned(texts)
        keys = [text_key(text) for text in cleaned]
        known = self._cache.get(list(dict.fromkeys(keys)))
        fresh = {key: text for key, text in zip(keys, cleaned, strict=True) if key not in known}
        for start in range(0, len(fresh), _KEPT_AT_ONCE):
            part = dict(islice(fresh.items(), start, start + _KEPT_AT_ONCE))
            known |= self._cache.keep(dict(zip(part, self._embed(list(part.values())), strict=True)))
        left_out = [known[key].windows_left_out for key in keys]
        self.counts["windows of notes left out"] += sum(left_out)
        self.counts["notes cut"] += sum(many > 0 for many in left_out)
        return np.stack([known[key].vector for key in keys]) if keys else np.zeros((0, self.dim), np.float32)

    def _embed(self, texts: Sequence[str]) -> list[Embedded]:
        checkpoint, settings = self._transformer.checkpoint, self.settings
        windows = [windows_at(checkpoint, text, settings.level, settings.overlap) for text in texts]
        seen = [self._seen(cut) for cut in windows]
        owner = np.repeat(np.arange(len(texts)), [len(cut) for cut in seen])
        vectors = self._transformer.embed(list(chain.from_iterable(seen)), self.window_pooling)
        means = group_means(vectors, owner, len(texts))
        left_out = [len(cut) - len(kept) for cut, kept in zip(windows, seen, strict=True)]
        return [Embedded(mean, many) for mean, many in zip(means, left_out, strict=True)]

    def _seen(self, windows: Sequence[Window]) -> Sequence[Window]:
        """Return the windows that are read of a text."""
        most = 1 if self.settings.pooling == "cls-truncate" else self.settings.max_windows
        room = most * self._transformer.checkpoint.max_tokens
        return windows[: int(np.searchsorted(np.cumsum([len(one) for one in windows]), room, side="right"))]


def pool_notes(batch: Batch, notes: Vectors) -> Vectors:
    """Return (len(batch), dim) unit rows: the means of the units' notes, whose vectors are (len(batch.notes), dim)."""
    place = {unit: row for row, unit in enumerate(batch.units["unit_id"])}
    rows = np.array([place[unit] for unit in batch.notes["unit_id"]], np.intp)
    return unit_rows(group_means(notes, rows, len(batch)))


KIND = EncoderKind(settings=Settings, make=Bert, load=Bert.load)
