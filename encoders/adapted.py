"""An object of the user's own as an encoder: one that has `fit`, `encode` and `save`, and may have the rest."""

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from cohorts.encoders.base import Encoder, Vectors
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.saving import OBJECT, write_about
from cohorts.errors import EncoderError, NoText
from cohorts.private_files import Scratch, private_folder, work_folder
from cohorts.records.base import Batch, Source

_NEEDED = ("fit", "encode", "save")
_SEAM = (
    *_NEEDED,
    "name",
    "dim",
    "uses_transformer",
    "needs_notes",
    "counts",
    "fingerprint",
    "encode_text",
    "describe",
)


def adapt(encoder: object, *, fitted: bool = False) -> Encoder:
    """Return an object as an encoder: itself where it has all that an Encoder has. Raises EncoderError.

    `fitted` says that an object that has no fingerprint of its own was fitted already.
    """
    if isinstance(encoder, type):
        raise EncoderError(f"encoder takes an object; got the class {encoder.__name__}: call it first.")
    lacks = [name for name in _NEEDED if not callable(getattr(encoder, name, None))]
    if lacks:
        raise EncoderError(
            "encoder takes a text as in 'codes:dim=64', what make_encoder or load_encoder returns, or an object with "
            f"fit, encode and save; got {type(encoder).__name__}, which lacks {', '.join(lacks)}."
        )
    if all(_has(encoder, name) for name in _SEAM):
        return encoder  # type: ignore[return-value]
    return Adapted(encoder, fitted=fitted)


def _has(thing: object, name: str) -> bool:
    """Tell whether an object has an attribute, without asking for its value: a property may raise before `fit`."""
    return inspect.getattr_static(thing, name, None) is not None


class Adapted:
    """An Encoder around an object that has `fit`, `encode` and `save`; what else it has is used, the rest is made up.

    Without a `fingerprint` of its own, it is fitted by every ingest, and its fingerprint is a hash of what `save`
    writes: `save` must write the same bytes for the same state.
    """

    def __init__(self, encoder: Any, *, fitted: bool = False) -> None:
        self._encoder, self._fitted = encoder, fitted
        self._seen = 0
        self._hash = ""
        self.name: str = str(getattr(encoder, "name", type(encoder).__name__))

    @property
    def dim(self) -> int:
        """Return how many numbers a vector has: as the object says, or as its rows had. Raises EncoderError."""
        told = self._seen or getattr(self._encoder, "dim", 0)
        if not told:
            raise EncoderError(
                f"{self.name} does not say how many numbers its vectors have before it is fitted: give it an "
                "attribute dim."
            )
        return int(told)

    @property
    def uses_transformer(self) -> bool:
        """Return what the object says; False where it says nothing."""
        return bool(getattr(self._encoder, "uses_transformer", False))

    @property
    def needs_notes(self) -> bool:
        """Return what the object says; False where it says nothing."""
        return bool(getattr(self._encoder, "needs_notes", False))

    @property
    def counts(self) -> Mapping[str, int]:
        """Return what the object says; nothing where it says nothing."""
        return dict(getattr(self._encoder, "counts", {}))

    @property
    def fingerprint(self) -> str:
        """Return the object's own, or a hash of what it saves (hex). Raises EncoderError before `fit`."""
        told = self._own_fingerprint()
        if told:
            return (
                told
                if re.fullmatch(r"[0-9a-f]{16}", told)
                else hashlib.sha256(told.encode()).hexdigest()[:16]
            )
        if not self._fitted:
            raise EncoderError(f"{self.name} has not been fitted.")
        if not self._hash:
            with Scratch(work_folder()) as folder:
                self._encoder.save(private_folder(folder / "saved"))
                self._hash = _hash_of(folder / "saved")
        return self._hash

    def _own_fingerprint(self) -> str:
        """Return what the object calls its fingerprint; "" where it has none, or none before it is fitted."""
        try:
            return str(self._encoder.fingerprint or "")
        except AttributeError:
            return ""

    def fit(self, source: Source) -> Self:
        """Fit the object on the source, and see how many numbers its vectors have. Raises EncoderError."""
        self._encoder.fit(source)
        self._fitted, self._hash = True, ""
        first = next(iter(source.batches()), None)
        if first is None:
            raise EncoderError("The source holds no patients: there is nothing to encode.")
        self.encode(first)
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; rows of zeros stay. Raises EncoderError."""
        return self._rows(self._encoder.encode(batch), len(batch), "encode")

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows. Raises NoText where the object has no encode_text."""
        if not callable(getattr(self._encoder, "encode_text", None)):
            raise NoText(
                f"{self.name} has no method encode_text, which a query by text needs: ask by patient or by vector."
            )
        return self._rows(self._encoder.encode_text(list(texts)), len(texts), "encode_text")

    def describe(self) -> Mapping[str, Any]:
        """Return name, dim and fingerprint, and what the object says of itself."""
        told = self._encoder.describe() if callable(getattr(self._encoder, "describe", None)) else {}
        return {"name": self.name, "dim": self.dim, "fingerprint": self.fingerprint, **told}

    def save(self, folder: Path) -> None:
        """Write what the object saves into `folder/object`, and what it is beside it."""
        self._encoder.save(private_folder(folder / OBJECT))
        write_about(
            folder,
            {"name": self.name, "fingerprint": self.fingerprint, OBJECT: type(self._encoder).__name__},
        )

    def _rows(self, made: Any, many: int, method: str) -> Vectors:
        rows = np.asarray(made, np.float32)
        if rows.ndim != 2 or len(rows) != many or (self._seen and rows.shape[1] != self._seen):
            expected = f"({many}, {self._seen or 'dim'})"
            raise EncoderError(
                f"{self.name}.{method} returned the shape {rows.shape}; it must be {expected}."
            )
        if not np.isfinite(rows).all():
            raise EncoderError(f"{self.name}.{method} returned NaN or infinite numbers.")
        self._seen = rows.shape[1]
        return unit_rows(rows)


def _hash_of(folder: Path) -> str:
    """Return a hash over the names and bytes of all files below a folder (16 hex digits)."""
    digest = hashlib.sha256()
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
