"""What was trained already: of each fold and model the scores of those held back and judged, in a file each.

A file is named by a hash of all that its content depends on, so what was trained on another source or with other
settings is not taken for it. It holds numbers in the order of the fold's rows, and no ids.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.documents import read_json
from cohorts.measures.intervals import Values
from cohorts.private_files import private_folder, write_private

_FORM = 2  # of what stands in a file, and how it is worked out
_NAMED = 32  # digits of the hash


@dataclass(frozen=True)
class Cell:
    """Scores of those held back and of those judged, a number each, and what else is told of a training."""

    held: list[float]
    test: list[float]
    facts: dict[str, float]

    @classmethod
    def of(cls, held: Values, test: Values, **facts: float) -> "Cell":
        """Return the cell of two arrays."""
        return cls(held.astype(np.float64).tolist(), test.astype(np.float64).tolist(), facts)


class Cells:
    """The cells of a folder that depend on `of`: the source, its stays, how they are dealt, the seed."""

    def __init__(self, folder: Path, of: Mapping[str, Any]) -> None:
        self._folder, self._of = private_folder(folder), dict(of)

    def get(self, model: str, **of: Any) -> Cell | None:
        """Return what was kept of a model, None where nothing was. Raises InputError for a damaged file."""
        file = self._file(model, of)
        return read_json(file, Cell, remedy="Remove it: it is made anew.") if file.exists() else None

    def keep(self, cell: Cell, model: str, **of: Any) -> Cell:
        """Write a cell, whole or not at all, and return it."""
        write_private(self._file(model, of), json.dumps(asdict(cell)) + "\n")
        return cell

    def _file(self, model: str, of: Mapping[str, Any]) -> Path:
        told = json.dumps({"form": _FORM, "model": model, **self._of, **of}, sort_keys=True, default=str)
        return self._folder / f"{hashlib.sha256(told.encode()).hexdigest()[:_NAMED]}.json"
