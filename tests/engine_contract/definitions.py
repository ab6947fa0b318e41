"""What every engine promises of collections: their names, definitions, aliases and indexes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.index import Flat, SearchParams
from cohorts.errors import (
    CollectionExists,
    CollectionNotFound,
    InputError,
    PointError,
    UnsupportedIndex,
)

from engine_contract.batches import DIM, FIELDS, cloud, points
from engine_contract.filled import Filled


class Definitions(Filled):
    """What every engine promises of collections: their names, definitions, aliases and indexes."""

    def test_create_twice_is_refused(self, connector: Connector) -> None:
        connector.create(Collection("c", DIM))
        with pytest.raises(CollectionExists, match="c already"):
            connector.create(Collection("c", DIM))
        assert connector.collections() == ["c"]

    def test_missing_collection_is_named_with_those_there_are(self, connector: Connector) -> None:
        connector.create(Collection("here", DIM))
        for call in (connector.describe, connector.count, connector.drop, connector.finalize):
            with pytest.raises(CollectionNotFound, match=r"gone.*here"):
                call("gone")
        with pytest.raises(CollectionNotFound):
            connector.search("gone", cloud(1), 1)

    def test_names_that_no_engine_takes_are_refused(self, connector: Connector) -> None:
        for name in ("", "1c", "a-b", "a b", "../c"):
            with pytest.raises(InputError, match="can't name a collection"):
                connector.create(Collection(name, DIM))

    def test_metadata_that_is_no_json_makes_no_collection(self, connector: Connector) -> None:
        wrong: Any = {"x": np.float32(1)}
        with pytest.raises(InputError, match="Metadata x"):
            connector.create(Collection("c", DIM, metadata=wrong))
        assert connector.collections() == []

    def test_other_default_search_parameters_are_kept_or_refused(self, connector: Connector) -> None:
        self.filled(connector, points(50))
        connector.alias("live", "c")
        before = connector.describe("c").collection
        if type(connector).set_default_search is Connector.set_default_search:
            with pytest.raises(InputError, match="A reindexing makes a new version with others"):
                connector.set_default_search("live", SearchParams(ef_search=77))
            assert connector.describe("c").collection == before
            return
        connector.set_default_search("live", SearchParams(ef_search=77))
        after = connector.describe("live").collection
        assert after == replace(before, search=SearchParams(ef_search=77))
        assert connector.count("c") == 50
        connector.search("c", cloud(1), 5)

    def test_a_name_that_no_engine_can_filter_by_is_refused(self, connector: Connector) -> None:
        for name in ("", " ", 'a "b"', "a\\b", "a\nb", "\ud800", "_cohorts_x"):
            with pytest.raises((InputError, PointError), match=r"can't (name a field|be a key)"):
                connector.create(Collection("c", DIM, Flat(), {name: str}))
        assert connector.collections() == []

    def test_a_field_without_an_index_must_be_a_field(self, connector: Connector) -> None:
        with pytest.raises(InputError, match="'age' is told to have no index"):
            connector.create(Collection("c", DIM, fields={"sex": str}, unindexed=("age",)))
        assert connector.collections() == []

    def test_drop_removes_everything(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        connector.drop("c")
        assert connector.collections() == []
        self.filled(connector, points(3))
        assert connector.count("c") == 3

    def test_aliases_stand_for_a_collection_and_are_switched_in_one_step(self, connector: Connector) -> None:
        for name, many in (("one", 5), ("two", 7)):
            connector.create(Collection(name, DIM, fields=FIELDS))
            connector.upsert(name, points(many))
            connector.finalize(name)
        for name, many in (("one", 5), ("two", 7)):
            connector.alias("now", name)
            assert connector.aliases() == {"now": name}
            assert connector.describe("now").collection.name == name
            assert connector.count("now") == many
            assert len(connector.search("now", cloud(1), 50).hits[0]) == many
            assert len(connector.fetch("now", ["10000"]).ids) == 1
        connector.delete("now", ["10000"])
        assert (connector.count("one"), connector.count("two")) == (5, 6)
        with pytest.raises(CollectionExists):
            connector.alias("one", "two")
        with pytest.raises(CollectionExists):
            connector.create(Collection("now", DIM))
        with pytest.raises(CollectionNotFound):
            connector.alias("now", "gone")
        connector.drop("now")
        assert (connector.collections(), connector.aliases()) == (["one"], {})

    def test_an_index_the_engine_lacks_is_refused(self, connector: Connector) -> None:
        from cohorts.connectors.index import KINDS

        for kind in set(KINDS.values()) - set(connector.abilities.indexes):
            with pytest.raises(UnsupportedIndex, match="It has: "):
                connector.create(Collection("c", DIM, kind()))
        assert connector.collections() == []

    def test_closing_twice_is_no_error(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        connector.close()
        connector.close()
