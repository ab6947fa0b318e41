"""The component of stored vectors that is zero in whatever is asked: by how much a unit's own content falls short of 1.

Encoders whose units may hold less than a whole vector have one; the collection's metadata says which (`padding`).
"""

from typing import Any

import numpy as np
from cohorts.connectors.base import Collection

PADDING = "padding"


def padding_of(collection: Collection) -> int | None:
    """Return the place of the padding in a collection's vectors, None where they have none."""
    place = collection.metadata.get(PADDING)
    return place if isinstance(place, int) and 0 <= place < collection.dim else None


def as_questions(vectors: Any, padding: int | None) -> Any:
    """Return stored vectors (n, dim) as vectors to ask by: without padding, of length 1 again, and zeros for none."""
    if padding is None:
        return vectors
    asked = np.array(vectors, np.float32)
    asked[:, padding] = 0
    lengths = np.linalg.norm(asked, axis=1, keepdims=True)
    return np.asarray(asked / np.where(lengths > 0, lengths, 1), np.float32)
