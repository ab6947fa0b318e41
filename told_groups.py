"""Which groups were told of, so that no later one differs from an earlier one by a few patients.

What is told of two groups that differ by one patient tells of that patient. The ledger stands in the collection's run
folder: a salt, and for every group the hashes of its patients and of their stays, from which no id can be read.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.private_files import open_private, private_folder, replace_private

_FOLDER, _SALT = "told", "salt"
_TOLD = "*.u8"
_BYTES, _SALT_BYTES = 16, 32  # of a patient, and of the salt
Hashes = npt.NDArray[np.uint64]
Stays = Sequence[tuple[str, str]]
"""The patient and the unit of each member of a group, one for each patient."""


def tell(folder: Path, groups: Sequence[tuple[str, Stays]], how: str, least: int) -> None:
    """Note some groups by name as told of; `how` is their time zero and follow-up.

    They are noted before anything is told, so that no other comparison gets in between. Raises InputError where one
    differs, by patients or by their stays, by fewer than `least` from one that was told of, or is the same and was told
    of otherwise; and OSError where the folder can't be written to.
    """
    with _held(folder) as salt:
        mine = [(name, _hashed(stays, salt)) for name, stays in groups]
        for name, own in mine:
            _check(folder, name, own, how, least)
        for _, own in mine:
            _note(folder, own, how)


def _check(folder: Path, name: str, mine: Hashes, how: str, least: int) -> None:
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


def _note(folder: Path, mine: Hashes, how: str) -> None:
    rows = mine.tobytes()
    file = folder / _FOLDER / f"{hashlib.sha256(rows).hexdigest()[:32]}{_ending(how)}"
    if not file.exists():
        with replace_private(file) as stream:
            stream.write(rows)


def forget(folder: Path, patients: Iterable[str]) -> int:
    """Take some patients out of all groups that are noted; return of how many groups."""
    if not (folder / _FOLDER / _SALT).exists():
        return 0
    found = 0
    with _held(folder) as salt:
        gone = _numbers(patients, salt)
        for file in sorted((folder / _FOLDER).glob(_TOLD)):
            theirs = _read(file)
            if (erased := np.isin(theirs[0], gone)).any():
                found += 1
                with replace_private(file) as stream:
                    stream.write(theirs[:, ~erased].tobytes())
    return found


@contextmanager
def _held(folder: Path) -> Iterator[bytes]:
    """Yield the salt, while no other process looks at what is noted, or notes more."""
    with open_private(private_folder(folder / _FOLDER) / _SALT, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not file.tell():
            file.write(os.urandom(_SALT_BYTES))
            file.flush()
        yield Path(file.name).read_bytes()


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
