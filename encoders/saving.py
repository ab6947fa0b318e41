"""What saved encoders share: `encoder.json`, and how a folder that is incomplete or was changed is told."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
from cohorts.errors import EncoderError
from cohorts.private_files import private_folder, touch_private, write_private

ABOUT = "encoder.json"
TENSORS = "model.safetensors"


class _Configured(Protocol):
    name: str
    settings: Any

    @property
    def fingerprint(self) -> str: ...


def identity_of(encoder: _Configured) -> dict[str, Any]:
    """Return what every encoder keeps and tells of itself: name, fingerprint, settings."""
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "settings": asdict(encoder.settings),
    }


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `encoder.json` into `folder`, made if need be."""
    write_private(private_folder(folder) / ABOUT, json.dumps(about, ensure_ascii=False, indent=1))


def write_tensors(folder: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write `model.safetensors` into `folder`."""
    from safetensors.numpy import save_file

    save_file(dict(tensors), touch_private(folder / TENSORS))


def read_about(folder: Path) -> dict[str, Any]:
    """Return what `write_about` wrote. Raises OSError, ValueError: see `reading`."""
    about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return about


@contextmanager
def reading(encoder: str, folder: Path) -> Iterator[None]:
    """Raise EncoderError for whatever a folder raises that is no complete encoder."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EncoderError(
            f"{folder} holds no complete {encoder} encoder: {type(error).__name__}."
        ) from error


def check_unchanged(encoder: _Configured, about: Mapping[str, Any], folder: Path) -> None:
    """Raise EncoderError where the fingerprint is not the one that was saved."""
    if about["fingerprint"] != encoder.fingerprint:
        raise EncoderError(
            f"The encoder in {folder} was changed since it was saved: its fingerprint differs."
        )
