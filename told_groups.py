"""Which groups were told of, so that no later one differs from an earlier one by a few patients.

What is told of two groups that differ by one patient tells of that patient. The ledger stands in the collection's run
folder: a salt, and for every group the sorted hashes of its patients, from which no id can be read.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.private_files import private_folder, replace_private

_FOLDER, _SALT = "told", "salt"
_TOLD = "*.u8"
Hashes = npt.NDArray[np.uint64]


def check_told(folder: Path, name: str, patients: Sequence[str], least: int) -> None:
    """Raise InputError where a group differs by fewer than `least` patients from one that was told of."""
    mine = _hashed(patients, _salt(folder))
    for file in sorted((folder / _FOLDER).glob(_TOLD)):
        theirs = _read(file)
        both = len(np.intersect1d(mine, theirs, assume_unique=True))
        if 0 < len(mine) + len(theirs) - 2 * both < least:
            raise InputError(
                f"{name} differs by fewer than {least} patients from a group that was compared before: both "
                "results together would tell of these.",
                remedy="Compare the same group as before, or one that differs by more, or show small cells, which is "
                "for your own eyes.",
                hint="min_cell",
            )


def note_told(folder: Path, patients: Sequence[str]) -> None:
    """Note a group that is told of. Raises OSError where the folder can't be written to."""
    mine = _hashed(patients, _salt(folder)).tobytes()
    file = folder / _FOLDER / f"{hashlib.sha256(mine).hexdigest()[:32]}{_TOLD[1:]}"
    if not file.exists():
        with replace_private(file) as stream:
            stream.write(mine)


def forget(folder: Path, patients: Iterable[str]) -> int:
    """Take some patients out of all groups that are noted; return of how many groups."""
    if not (folder / _FOLDER / _SALT).exists():
        return 0
    gone = _hashed([*patients], _salt(folder))
    found = 0
    for file in sorted((folder / _FOLDER).glob(_TOLD)):
        theirs = _read(file)
        if (erased := np.isin(theirs, gone)).any():
            found += 1
            with replace_private(file) as stream:
                stream.write(theirs[~erased].tobytes())
    return found


def _salt(folder: Path) -> bytes:
    file = private_folder(folder / _FOLDER) / _SALT
    if not file.exists():
        with replace_private(file) as stream:
            stream.write(os.urandom(32))
    return file.read_bytes()


def _read(file: Path) -> Hashes:
    return np.frombuffer(file.read_bytes(), np.uint64)


def _hashed(patients: Sequence[str], salt: bytes) -> Hashes:
    """Return a sorted number for each patient, (n,)."""
    numbers = [
        int.from_bytes(hashlib.blake2b(one.encode(), digest_size=8, key=salt).digest(), "little")
        for one in patients
    ]
    return np.unique(np.array(numbers, np.uint64))
