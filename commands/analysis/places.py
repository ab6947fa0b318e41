"""A collection as commands about cohorts open it, and where its cohorts and its events stand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cohorts.analysis.saved.cohort import Place
    from cohorts.connectors.base import Connector
    from cohorts.encoders.base import Encoder


@contextmanager
def opened(store: str, collection: str, run_dir: Path | None = None) -> "Iterator[Place]":
    """Open a collection; `run_dir` holds its events, where that is not the folder beside the store.

    Raises CollectionNotFound, which names those that are there.
    """
    from cohorts.search.store import open_store

    with open_store(store, collection) as connector:
        connector.describe(collection)
        yield place_of(connector, store, collection, run_dir)


def place_of(
    connector: "Connector",
    store: str,
    collection: str,
    run_dir: Path | None = None,
    *,
    encoder: "Encoder | None" = None,
) -> "Place":
    """Return where the cohorts of a collection stand: where queries look for its `encoder`, if it is not at hand."""
    from cohorts.analysis.saved.cohort import Place
    from cohorts.search.store import own_encoder
    from cohorts.workspace import default_run_dir, encoder_dir

    def kept_encoder() -> "Encoder":
        about = connector.describe(collection).collection
        return own_encoder(about, encoder_dir(store, collection, about))

    kept_in = default_run_dir(store, collection)
    return Place(connector, collection, kept_in, run_dir or kept_in, lambda: encoder or kept_encoder())
