"""How near patients are to a text: by the vectors that the collection holds, compared here, the same on all engines."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cohorts.analysis.recruit.records import People
from cohorts.connectors.base import Connector
from cohorts.connectors.padding import as_questions, padding_of
from cohorts.errors import InputError

_FETCHED = 1_000
_DIGITS = 6


def nearness(
    connector: Connector, name: str, people: People, chosen: Sequence[int], vector: npt.NDArray[np.float32]
) -> dict[int, float]:
    """Return the cosine of each chosen patient's best unit with a vector (dim,), to six digits; none without a vector.

    Raises InputError for a vector of zeros.
    """
    if not vector.any():
        raise InputError(
            "The encoder knows no word of the profile's text; describe the patients in other words."
        )
    collection = connector.describe(name).collection
    question = as_questions(vector[None, :], padding_of(collection))[0].astype(np.float64)
    question /= np.linalg.norm(question)
    owner = {unit: patient for patient in chosen for unit in people.units[patient]}
    best: dict[int, float] = {}
    units = list(owner)
    pages = (units[start : start + _FETCHED] for start in range(0, len(units), _FETCHED))
    for there in (connector.fetch(name, page) for page in pages):
        scores = (there.vectors.astype(np.float64) @ question).round(_DIGITS).tolist()
        for unit, score in zip(there.ids, scores, strict=True):
            patient = owner[unit]
            best[patient] = max(score, best.get(patient, -1.0))
    return best
