"""What every engine promises of writes: what is refused, and that what went in comes back."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.errors import (
    InputError,
    PointError,
    VectorError,
)

from engine_contract.batches import DIM, cloud, points
from engine_contract.filled import Filled


class Writing(Filled):
    """What every engine promises of writes: what is refused, and that what went in comes back."""

    def test_wrong_dimension_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        with pytest.raises(VectorError, match=r"\(1, 8\).*\(n, 16\)"):
            connector.search("c", cloud(1, 8), 1)
        with pytest.raises(VectorError):
            connector.upsert("c", Points(["1"], cloud(1, 8), [{}]))

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0])
    def test_vectors_that_have_no_direction_are_refused_before_sending(
        self, connector: Connector, wrong: float
    ) -> None:
        self.filled(connector, points(5))
        vectors = cloud(2)
        vectors[1] = wrong
        with pytest.raises(VectorError, match="row 1"):
            connector.upsert("c", Points(["a", "b"], vectors, [{}, {}]))
        with pytest.raises(VectorError):
            connector.search("c", vectors, 1)
        assert connector.count("c") == 5

    def test_an_id_twice_in_a_batch_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        with pytest.raises(InputError, match="twice"):
            connector.upsert("c", Points(["a", "a"], cloud(2), [{}, {}]))

    def test_empty_collection_and_empty_batch(self, connector: Connector) -> None:
        nothing = Points([], np.empty((0, DIM), np.float32), [])
        self.filled(connector, nothing)
        assert connector.count("c") == 0
        assert connector.search("c", cloud(2), 3).hits == [[], []]
        assert list(connector.scroll("c")) == []
        assert connector.fetch("c", ["1"]).ids == []

    def test_count_is_right_after_every_write(self, connector: Connector) -> None:
        connector.create(Collection("c", DIM))
        batch = points(30)
        for start in (0, 10, 20):
            some = slice(start, start + 10)
            connector.upsert("c", Points(batch.ids[some], batch.vectors[some], [{}] * 10))
            assert len(connector.fetch("c", batch.ids[some]).ids) == 10
            assert connector.count("c") == start + 10
        connector.upsert("c", Points(batch.ids[:10], batch.vectors[:10], [{}] * 10))
        assert connector.count("c") == 30
        connector.delete("c", [*batch.ids[:3], "not there"])
        assert connector.count("c") == 27
        assert connector.fetch("c", batch.ids[:4]).ids == [batch.ids[3]]

    def test_upsert_replaces_vector_and_whole_payload(self, connector: Connector) -> None:
        self.filled(connector, points(20))
        new = cloud(1, seed=9)
        connector.upsert("c", Points(["10003"], new, [{"sex": "M"}]))
        connector.finalize("c")
        (found,) = connector.search("c", new, 1).hits[0]
        assert (found.id, found.payload) == ("10003", {"sex": "M"})
        assert found.score == pytest.approx(1.0, abs=1e-5)
        assert connector.count("c") == 20

    def test_ids_and_payloads_round_trip(self, connector: Connector) -> None:
        ids = ["10006", "00123", "abc/é", str(uuid.uuid4()), str(2**64), "-1", "x" * 200]
        payload: Payload = {
            "age": 61.5,
            "n": 3,
            "sex": "é'\"\\",
            "died": False,
            "codes": ["E11", ""],
            "more": None,
            "z": "",
        }
        self.filled(connector, Points(ids, cloud(len(ids)), [payload] * len(ids)))
        assert connector.fetch("c", ["-1", "10006", "-1"]).ids == ["-1", "10006", "-1"]
        back = connector.fetch("c", [*reversed(ids), "not there"])
        assert list(back.ids) == list(reversed(ids))
        assert all(one == payload for one in back.payloads)
        np.testing.assert_allclose(back.vectors[::-1], cloud(len(ids)), atol=1e-6)
        assert {hit.id for hit in connector.search("c", cloud(1), 20).hits[0]} == set(ids)
        for size in (3, len(ids), 1_000):
            pages = [page.ids for page in connector.scroll("c", page=size)]
            assert sorted(one for page in pages for one in page) == sorted(ids), "every point once"
            assert all(0 < len(page) <= size for page in pages)
            found = list(connector.find("c", page=size))
            assert sorted(chain.from_iterable(found)) == sorted(ids), "every id once"
            assert all(0 < len(page) <= size for page in found)

    def test_numpy_scalars_become_plain_and_nan_missing(self, connector: Connector) -> None:
        self.filled(connector, points(1))
        row: Any = {"age": np.float64(50), "n": np.int64(2), "died": np.bool_(True), "sex": float("nan")}
        connector.upsert("c", Points(["7"], cloud(1), [row]))
        assert connector.fetch("c", ["7"]).payloads[0] == {"age": 50.0, "n": 2, "died": True, "sex": None}
        with pytest.raises(InputError, match="age must be float"):
            connector.upsert("c", Points(["8"], cloud(1), [{"age": "old"}]))

    @pytest.mark.parametrize(
        "row",
        [{"n": 2**53 + 1}, {"age": float("inf")}, {"z": "\ud800"}, {"z": [1]}, {"_cohorts_id": "8"}, {3: 1}],
    )
    def test_payloads_that_some_engine_would_bend_are_refused(self, connector: Connector, row: Any) -> None:
        self.filled(connector, points(3))
        with pytest.raises(InputError):
            connector.upsert("c", Points(["new", "x"], cloud(2), [{}, row]))
        assert connector.count("c") == 3

    def test_a_payload_too_large_for_any_message_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        for large in ("x" * 1_000_001, ["x" * 1_000] * 1_001):
            with pytest.raises(PointError, match=r"z has 1,00[01],00[01] characters"):
                connector.upsert("c", Points(["new", "x"], cloud(2), [{}, {"z": large}]))
        assert connector.count("c") == 3

    def test_as_many_threads_write_at_once_as_the_engine_declares(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        batch, many = points(2_003), connector.abilities.writers
        parts = [range(start, start + 100) for start in range(3, 2_003, 100)]

        def write(rows: range) -> None:
            ids, payloads = [batch.ids[row] for row in rows], [batch.payloads[row] for row in rows]
            connector.upsert("c", Points(ids, batch.vectors[rows.start : rows.stop], payloads))

        with ThreadPoolExecutor(many) as pool:
            list(pool.map(write, parts))
        assert connector.count("c") == 2_003
        back = connector.fetch("c", batch.ids[97::97])
        assert [dict(one) for one in back.payloads] == [dict(one) for one in batch.payloads[97::97]]
        np.testing.assert_allclose(back.vectors, batch.vectors[97::97], atol=1e-6)

    def test_ids_that_no_engine_takes_are_refused(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        for wrong in ("", 7, "\ud800", ["x"]):
            ids: Any = ["new", wrong]
            with pytest.raises(InputError, match="An id is"):
                connector.upsert("c", Points(ids, cloud(2), [{}, {}]))
        assert connector.count("c") == 3
