"""The encoders that collections keep: every question by text is encoded by what made the vectors.

The collection's own copy lies where queries look for it, whichever folder the run used and the encoder came from.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cohorts.connectors.base import Collection
from cohorts.encoders.base import Encoder
from cohorts.encoders.registry import load_encoder
from cohorts.errors import CohortsWarning, EncoderError, InputError
from cohorts.private_files import Scratch, make_private, private_folder
from cohorts.workspace import encoder_dir, is_fingerprint, kept_encoder


def keep_encoder(encoder: Encoder, run_dir: Path, queried_from: Path) -> None:
    """Keep an encoder for the runs in `run_dir`, and where queries of the collection look for it. Raises InputError.

    Where the working folder can't take the second copy, a warning says how to query without it.
    """
    kept, asked_for = (kept_encoder(folder, encoder.fingerprint) for folder in (run_dir, queried_from))
    with told_where(kept):
        _keep(encoder, kept)
    try:
        _keep(encoder, asked_for)
    except OSError as error:
        warnings.warn(
            CohortsWarning(
                f"The encoder could not be copied to {asked_for}: {error.strerror}.",
                remedy=f"Queries by text need the encoder in {kept}.",
                hint="query_encoder",
                folder=kept,
            ),
            stacklevel=1,
        )


@contextmanager
def told_where(folder: Path) -> Iterator[None]:
    """Turn the errors of a disk into InputError: where an encoder could not be kept, and what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The encoder can't be kept in {folder}: {error.strerror}. Make room there, or name another folder."
        ) from error


def copy_encoder(origin: tuple[str, str], target: tuple[str, str], collection: Collection) -> None:
    """Copy what encodes a text for collection (store, name) to where another one looks for it, if it is there."""
    if not is_fingerprint(collection.metadata.get("encoder_fingerprint")):
        return  # the vectors were loaded ready
    kept, fresh = (encoder_dir(*place, collection) for place in (origin, target))
    if kept.is_dir() and not fresh.exists():
        _put(fresh, partial(shutil.copytree, kept))


def _keep(encoder: Encoder, folder: Path) -> None:
    """Save the encoder, unless it is there: then a shard or a query may be reading it."""
    if _holds(folder, encoder):
        return
    try:
        _put(folder, encoder.save)
    except OSError:
        if not _holds(folder, encoder):  # else another shard was first
            raise


def _holds(folder: Path, encoder: Encoder) -> bool:
    try:
        return load_encoder(folder).fingerprint == encoder.fingerprint
    except EncoderError:
        return False


def _put(folder: Path, write: Callable[[Path], object]) -> None:
    """Let a folder be written whole or not at all: a run that is resumed takes what it finds there."""
    with Scratch(private_folder(folder.parent)) as scratch:
        made = scratch / "made"
        write(made)
        make_private(made)
        if folder.exists():  # damaged
            folder.rename(scratch / "damaged")
        made.rename(folder)
