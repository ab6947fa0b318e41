"""Reference rows: what faiss and annoy reach in this process, with no engine, network or collection around them.

Not an engine's rivals: they keep no payload, filter nothing and lose all at the end. They say what the index costs.
"""

import os
import time

import numpy as np
from cohorts.connectors.base import Vectors
from cohorts.connectors.calibration.references import Reference, build_reference, fewest_vectors
from cohorts.connectors.checks import unit_rows
from cohorts.connectors.index import Annoy, Hnsw, Index, Ivf, SearchParams, show_index
from cohorts.errors import InputError, UnsupportedIndex
from cohorts.extras import missing
from cohorts.harness.bench.load.clients import Answer, Client
from cohorts.harness.bench.load.processes import Meter
from cohorts.harness.bench.load.samples import gc_paused
from cohorts.harness.bench.run.build import Built

LIBRARIES = {Hnsw: "faiss", Ivf: "faiss", Annoy: "annoy"}


def reference_client(reference: Reference, params: SearchParams) -> Client:
    """Return a client of an index in this process; `lent` lends it. Queries must be unit rows."""
    return Client(ask=reference.searching(params), read=_read)


def _read(answer: tuple[Vectors, np.ndarray]) -> Answer:
    """Return the rows that were found as the ids that an engine would have them under."""
    (scores,), (rows,) = answer
    found = rows >= 0
    return Answer([str(row) for row in rows[found].tolist()], scores[found].tolist())


def build(index: Index, vectors: Vectors, seed: int = 0) -> tuple[Reference, Built]:
    """Build the library's index over (n, dim) float32; its seconds are all of the build, for there is nothing to load.

    Raises MissingExtra, UnsupportedIndex for an index that no reference has, InputError for too few vectors.
    """
    if not isinstance(index, Hnsw | Ivf | Annoy):
        raise UnsupportedIndex(f"There is no reference for {show_index(index)}. There is: hnsw, ivf, annoy.")
    if len(vectors) < (need := fewest_vectors(index)):
        raise InputError(f"{show_index(index)} needs at least {need:,} vectors; {len(vectors):,} were given.")
    base = unit_rows(vectors, vectors.shape[1])
    try:
        with gc_paused():
            began, meter = time.perf_counter(), Meter(os.getpid())
            reference = build_reference(index, base, seed)
            build_s, core_s = time.perf_counter() - began, meter.spent_s()
    except ImportError as error:
        raise missing("The reference", "reference") from error
    return reference, Built(
        rows=len(base),
        load_s=0.0,
        searchable_s=build_s,
        indexed_s=build_s,
        indexed=len(base),
        engine=LIBRARIES[type(index)],
        says=show_index(index),
        note="in this process",
        core_s=core_s,
    )
