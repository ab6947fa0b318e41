"""Another index for a collection, with no pause in answering: a copy beside it, then a switch."""

from dataclasses import replace

import numpy as np
from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.errors import EngineError, InputError
from cohorts.loaders.holding import Held
from cohorts.loaders.journal.journal import Target
from cohorts.loaders.lease import Lease
from cohorts.loaders.versions import (
    FINALIZE_TIMEOUT_S,
    IndexRequest,
    follow,
    next_version,
    standing,
    sweep,
    switch,
)
from cohorts.progress import ProgressCallback

COPY_ROWS = 1_000


def reindex(
    connector: Connector,
    name: str,
    wanted: IndexRequest,
    tick: ProgressCallback,
    held: Held,
) -> Collection:
    """Copy a collection into a new version with another index, switch the alias, drop the old; return the new one.

    Queries by the alias are answered all the time. The journals of the collection's runs follow to the new version, and
    what a reindexing that died left behind is swept by the next run. Raises InputError where `name` is no alias,
    EngineError where the copy is not whole (someone wrote meanwhile): then nothing has changed.
    """
    if name not in connector.aliases():
        connector.describe(name)
        raise InputError(
            f"{name} is a collection and no alias, so nothing can take its place without a pause. Collections made by "
            "an ingest stand behind an alias."
        )
    old = standing(connector, name)
    held.lease.take(old)
    for journal in held.journals:
        follow(connector, journal, old)
        sweep(connector, name, journal)
    fresh = replace(connector.describe(name).collection, name=next_version(connector, name))
    fresh = wanted.settle(connector, fresh, lambda: _sample(connector, name))
    for journal in held.journals:
        journal.note(Target(fresh.name, whole=False, copy_of=old))
    try:
        connector.create(fresh)
        _copy(connector, name, fresh.name, tick, held.lease)
    except BaseException:
        if fresh.name in connector.collections():
            connector.drop(fresh.name)
        for journal in held.journals:
            journal.drop(fresh.name)
        raise
    switch(connector, name, fresh.name)
    for journal in held.journals:
        journal.follow(fresh.name)
    return fresh


def _copy(connector: Connector, name: str, fresh: str, tick: ProgressCallback, lease: Lease) -> None:
    """Fill the new version. Raises EngineError where it is not whole."""
    for points in connector.scroll(name, COPY_ROWS):
        lease.check()
        connector.upsert(fresh, points)
        tick("write", len(points.ids))
    connector.finalize(fresh, timeout_s=FINALIZE_TIMEOUT_S)
    lease.check()
    have, want = connector.count(fresh), connector.count(name)
    if have != want:
        raise EngineError(
            f"The new version of {name} holds {have:,} vectors and the old one {want:,}: someone wrote meanwhile. "
            "The old one stays.",
            remedy="Reindex again when nobody writes.",
            hint="reindex_again",
        )


def _sample(connector: Connector, name: str) -> Vectors:
    """Return up to 20,000 vectors of a collection, (n, dim) float32, in the engine's order."""
    pages, many = [], 0
    for points in connector.scroll(name, COPY_ROWS):
        pages.append(points.vectors)
        many += len(points.ids)
        if many >= SAMPLE:
            break
    return (
        np.concatenate(pages)[:SAMPLE]
        if pages
        else np.empty((0, connector.describe(name).collection.dim), np.float32)
    )
