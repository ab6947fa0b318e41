"""A connector of the store under test, and a collection in it."""

from collections.abc import Iterator

import pytest
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.index import Flat, Hnsw
from cohorts.connectors.registry import connect

from engine_contract.batches import FIELDS


class Filled:
    """Give a fixture `store`, the address of a store that may hold other tests' leftovers."""

    @pytest.fixture
    def connector(self, store: str) -> Iterator[Connector]:
        with connect(store) as connector:
            for left in connector.collections():
                connector.drop(left)
            yield connector

    def filled(self, connector: Connector, batch: Points, index: Hnsw | Flat | None = None) -> None:
        connector.create(
            Collection("c", batch.vectors.shape[1], index or Hnsw(), FIELDS, {"encoder": "e", "x": 1})
        )
        connector.upsert("c", batch)
        connector.finalize("c")
