"""Whether the vectors of a collection differ: an encoder that learnt nothing makes all units alike."""

import time
from weakref import WeakKeyDictionary

import numpy as np
from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.collection import EXTERNAL
from cohorts.connectors.padding import as_questions, padding_of
from cohorts.errors import EngineError

SAMPLE = 100  # units, the first in the engine's order
FEWEST = 10  # units from which an encoder learns anything, and a spread can be told
NARROW = (
    0.02  # between the 5th and the 95th percentile of cosines; what finds well on real data has .1 and more
)
ALIKE = 0.5  # pairs that have nothing in common have narrow cosines too, around 0, and differ all the same
KEPT_S = 300.0
_ADVICE = ": ingest with another encoder"
_NOT_TRAINED = "bert"  # the one encoder of ours that learns nothing from a source

_told: WeakKeyDictionary[Connector, dict[str, tuple[float, str]]] = WeakKeyDictionary()


def warning_of(connector: Connector, name: str, collection: Collection) -> str:
    """Return a sentence where the vectors of collection `name` can't tell units apart, "" where they can.

    It looks once and says the same for five minutes: on an embedded engine a look takes longer than a search.
    """
    now, told = time.monotonic(), _told.setdefault(connector, {})
    kept = told.get(name)
    if kept is None or now - kept[0] > KEPT_S:
        kept = told[name] = (now, look(connector, name, collection))
    return kept[1]


def look(connector: Connector, name: str, collection: Collection) -> str:
    """Return the sentence of `warning_of` after a look at the first 100 points; "" where the engine can't give them."""
    try:
        page = next(connector.scroll(name, SAMPLE), None)
    except EngineError:
        return ""
    units = 0 if page is None else len(page.ids)
    made_by = collection.metadata.get("encoder")
    ours = bool(collection.metadata.get("encoder_fingerprint")) and made_by != EXTERNAL
    if page is None or units < FEWEST:
        return _few(units) if units and ours and made_by != _NOT_TRAINED else ""
    found = spread(as_questions(page.vectors, padding_of(collection)))
    if found is None or found[1] - found[0] >= NARROW or found[0] < ALIKE:
        return ""
    low, high = found
    return (
        f"the vectors of this collection hardly differ: nine in ten pairs have a cosine from {low:.4f} to {high:.4f}. "
        f"Such similarities tell little, and who is found may be chance{_ADVICE if ours else ''}"
    )


def spread(vectors: Vectors) -> tuple[float, float] | None:
    """Return the 5th and the 95th percentile of the cosines of all pairs of vectors (n, dim), without those of zeros.

    None for fewer than ten vectors.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    if len(units) < FEWEST:
        return None
    cosines = np.sort((units @ units.T)[np.triu_indices(len(units), 1)])
    # As np.percentile does, which would load numpy.ma first: a thirtieth of a query from the command line.
    low, high = np.interp([0.05, 0.95], np.linspace(0, 1, len(cosines)), cosines)
    return float(low), float(high)


def _few(units: int) -> str:
    hold = "1 unit" if units == 1 else f"{units} units"
    return (
        f"this collection holds {hold}: an encoder trained on so few has learnt next to nothing, and who is found may "
        "be chance. Ingest more, or with an encoder that was trained elsewhere"
    )
