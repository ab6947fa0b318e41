"""What saved encoders share: `encoder.json`, and how a folder that is incomplete or was changed is told."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.documents import read_json
from cohorts.errors import EncoderError
from cohorts.private_files import private_folder, touch_private, write_private
from cohorts.records.notes.cleaning import cleaning_version

T = TypeVar("T")

ABOUT = "encoder.json"
TENSORS = "model.safetensors"
OBJECT = "object"  # of what encoder.json tells: the class of an object of the user's own
AGAIN = "Train the encoder again, or copy it again from where it is whole."


class _Fingerprinted(Protocol):
    @property
    def fingerprint(self) -> str: ...


class _Configured(_Fingerprinted, Protocol):
    name: str
    settings: Any


def identity_of(encoder: _Configured) -> dict[str, Any]:
    """Return what every encoder keeps and tells of itself: name, fingerprint, settings."""
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "settings": asdict(encoder.settings),
    }


def is_trained(encoder: _Fingerprinted) -> bool:
    """Tell whether an encoder has a fingerprint, which it has from its training on."""
    try:
        return bool(encoder.fingerprint)
    except EncoderError:
        return False


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `encoder.json` into `folder`, made if need be."""
    write_private(private_folder(folder) / ABOUT, json.dumps(about, ensure_ascii=False, indent=1))


def write_tensors(folder: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays of any shape into `model.safetensors` in `folder`, by name. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    file = touch_private(folder / TENSORS)
    try:
        save_file(dict(tensors), file)
    except SafetensorError as error:  # as its writer calls a full disk
        raise OSError(errno.EIO, str(error), str(file)) from None


def is_folder(text: str) -> bool:
    """Tell whether a text names a folder; what is too long for a path, or holds a NUL, names none."""
    return os.path.isdir(text)  # noqa: PTH112 - Path.is_dir raises there


def read_about(folder: Path, kind: type[T]) -> T:
    """Return what `write_about` wrote. Raises EncoderError where it is not of the kind expected."""
    return read_json(folder / ABOUT, kind, error=EncoderError, remedy=AGAIN)


def read_tensors(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in `model.safetensors` by name, shaped as written. Raises EncoderError where it is damaged, or
    one holds NaN.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / TENSORS
    try:
        tensors = load_file(file)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EncoderError(f"{file} holds no whole tensors: {type(error).__name__}. {AGAIN}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (np.float32, np.float64) or not np.isfinite(tensor).all():
            raise EncoderError(f"{file} is damaged: {name[:80]!r} holds what is no finite number. {AGAIN}")
    return tensors


def check_shape(
    folder: Path, tensors: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return the array `name`. Raises EncoderError where it is not there, or has another shape than `shape`."""
    tensor = tensors.get(name)
    if tensor is None or tensor.shape != shape:
        found = "is missing" if tensor is None else f"has the shape {tensor.shape}"
        raise EncoderError(f"{folder / TENSORS} is damaged: {name} {found}; it must have {shape}. {AGAIN}")
    return tensor


def check_cleaning(cleaning: str, folder: Path) -> None:
    """Raise EncoderError where notes were cleaned in another way when the encoder was trained."""
    if cleaning != cleaning_version():
        raise EncoderError(
            f"The encoder in {folder} was trained with another cleaning of notes; train it anew."
        )


def check_unchanged(encoder: _Configured, fingerprint: str, folder: Path) -> None:
    """Raise EncoderError where the fingerprint is not the one that was saved."""
    if fingerprint != encoder.fingerprint:
        raise EncoderError(
            f"The encoder in {folder} was changed since it was saved: its fingerprint differs."
        )
