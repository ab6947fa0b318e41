"""Files of arrays that tests make."""

from pathlib import Path
from typing import Any

import h5py


def hdf5(path: Path, **arrays: Any) -> Path:
    """Write arrays, or what is none, under their names."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path
