"""Which groups were told of, so that no later one differs from an earlier one by a few patients.

What is told of two groups that differ by one patient tells of that patient. The ledger stands in the collection's run
folder: a salt, and for every group the hashes of its patients and of their stays, from which no id can be read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.private_files import private_folder, replace_private

_FOLDER, _SALT = "told", "salt"
_TOLD = "*.u8"
_BYTES = 16  # of a patient
Hashes = npt.NDArray[np.uint64]
Stays = Sequence[tuple[str, str]]
"""The patient and the unit of each member of a group, one for each patient."""


def check_told(folder: Path, name: str, stays: Stays, how: str, least: int) -> Hashes:
    """Return what `note_told` notes of a group; `how` it is told of is its time zero and follow-up.

    Raises InputError where it differs, by patients or by their stays, by fewer than `least` from one that was told of,
    or is the same and was told of otherwise.
    """
    mine = _hashed(stays, _salt(folder))
    for file in sorted((folder / _FOLDER).glob(_TOLD)):
        if abs(mine.shape[1] - file.stat().st_size // _BYTES) >= least:
            continue
        differ = _differing(mine, _read(file))
        if 0 < differ < least:
            raise InputError(
                f"{name} differs by fewer than {least} patients from a group that was compared before: both "
                "results together would tell of these.",
                remedy="Compare the same group as before, or one that differs by more, or show small cells, which is "
                "for your own eyes.",
                hint="min_cell",
            )
        if not differ and not file.name.endswith(_ending(how)):
            raise InputError(
                f"{name} was compared before with another time zero or follow-up: both results together would tell "
                "of a few patients.",
                remedy="Compare it as before, or show small cells, which is for your own eyes.",
                hint="min_cell",
            )
    return mine


def note_told(folder: Path, mine: Hashes, how: str) -> None:
    """Note a group that is told of. Raises OSError where the folder can't be written to."""
    rows = mine.tobytes()
    file = folder / _FOLDER / f"{hashlib.sha256(rows).hexdigest()[:32]}{_ending(how)}"
    if not file.exists():
        with replace_private(file) as stream:
            stream.write(rows)


def forget(folder: Path, patients: Iterable[str]) -> int:
    """Take some patients out of all groups that are noted; return of how many groups."""
    if not (folder / _FOLDER / _SALT).exists():
        return 0
    gone = _numbers(patients, _salt(folder))
    found = 0
    for file in sorted((folder / _FOLDER).glob(_TOLD)):
        theirs = _read(file)
        if (erased := np.isin(theirs[0], gone)).any():
            found += 1
            with replace_private(file) as stream:
                stream.write(theirs[:, ~erased].tobytes())
    return found


def _salt(folder: Path) -> bytes:
    file = private_folder(folder / _FOLDER) / _SALT
    if not file.exists():
        with replace_private(file) as stream:
            stream.write(os.urandom(32))
    return file.read_bytes()


def _ending(how: str) -> str:
    return f"-{hashlib.sha256(how.encode()).hexdigest()[:8]}{_TOLD[1:]}"


def _read(file: Path) -> Hashes:
    return np.frombuffer(file.read_bytes(), np.uint64).reshape(2, -1)


def _differing(mine: Hashes, theirs: Hashes) -> int:
    """Return how many patients are in one group alone, or in both by different stays."""
    patients, stays = (
        int(np.intersect1d(one, other, assume_unique=True).size)
        for one, other in zip(mine, theirs, strict=True)
    )
    return len(mine[0]) + len(theirs[0]) - patients - stays


def _hashed(stays: Stays, salt: bytes) -> Hashes:
    """Return a number for each patient, rising, and one for the patient's stay, (2, n)."""
    patients = _numbers((patient for patient, _ in stays), salt)
    own = _numbers((json.dumps(stay) for stay in stays), salt)
    return np.stack([patients, own])[:, np.argsort(patients)]


def _numbers(words: Iterable[str], salt: bytes) -> Hashes:
    hashed = (hashlib.blake2b(one.encode(), digest_size=8, key=salt).digest() for one in words)
    return np.frombuffer(b"".join(hashed), np.uint64)
