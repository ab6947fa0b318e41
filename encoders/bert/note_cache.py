"""Vectors of notes, kept on disk by the hash of their text: a second run, or another fusion, costs nothing for text.

Vectors can be inverted to text: the file is as private as the notes, and readable by the user alone.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cohorts.encoders.base import Vectors
from cohorts.errors import InputError
from cohorts.private_files import private_folder, touch_private

FOLDER = "COHORTS_CACHE"
_ASKED_AT_ONCE = 500


def cache_folder() -> Path:
    """Return the folder named by COHORTS_CACHE, else ~/.cache/cohorts."""
    return Path(os.environ.get(FOLDER, Path.home() / ".cache" / "cohorts"))


class Embedded(NamedTuple):
    """A text's vector, (width,) float32, and how many of its windows the model did not see."""

    vector: Vectors
    windows_left_out: int


class NoteCache:
    """The vectors that one way of embedding (`fingerprint`) gave. Raises InputError where the file can't be made."""

    def __init__(self, fingerprint: str) -> None:
        place = cache_folder()
        try:
            file = touch_private(private_folder(place) / f"notes-{fingerprint}.sqlite")
            self._db = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute(
                "create table if not exists embedded"
                "(key blob primary key, vector blob, windows_left_out integer) without rowid"
            )
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"The cache of note vectors in {place} can't be used: {error}. Name another folder by {FOLDER}."
            ) from error

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Embedded]:
        """Return what is known of these texts."""
        found: dict[bytes, Embedded] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = keys[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"select * from embedded where key in ({marks})", part)  # noqa: S608
            found |= {key: Embedded(np.frombuffer(vector, np.float32), cut) for key, vector, cut in rows}
        return found

    def keep(self, made: Mapping[bytes, Embedded]) -> dict[bytes, Embedded]:
        """Keep texts' vectors, all or none of them, and return what is kept of these texts.

        Of two processes that met one text the first is kept: a text has one vector, whatever it was in a batch with.
        """
        rows = [(key, one.vector.tobytes(), one.windows_left_out) for key, one in made.items()]
        self._db.execute("begin immediate")
        self._db.executemany("insert or ignore into embedded values (?, ?, ?)", rows)
        self._db.execute("commit")
        return self.get(list(made))
