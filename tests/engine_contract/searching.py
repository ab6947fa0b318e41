"""What every engine promises of searches: scores, recall, and what is told beside the answer."""

from collections.abc import Mapping

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, FieldType, Payload, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Flat, Hnsw, SearchParams
from cohorts.errors import (
    InputError,
)
from cohorts.search import neighbours

from engine_contract.batches import DIM, cloud, points
from engine_contract.filled import Filled


class Searching(Filled):
    """What every engine promises of searches: scores, recall, and what is told beside the answer."""

    def test_no_neighbours_and_no_queries(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        assert connector.search("c", np.empty((0, DIM), np.float32), 3).hits == []
        for k in (0, -1, connector.abilities.max_k + 1):
            with pytest.raises(InputError, match="neighbours were asked for"):
                connector.search("c", cloud(1), k)

    def test_k_above_n_gives_n(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        (hits,) = connector.search("c", cloud(1), 50).hits
        assert len(hits) == 5
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_score_is_cosine_whatever_the_length(self, connector: Connector) -> None:
        batch = points(50)
        scale = np.linspace(0.1, 9, 50, dtype=np.float32)[:, None]
        self.filled(connector, Points(batch.ids, batch.vectors * scale, batch.payloads))
        query = cloud(1, seed=3)
        expected = {key: float(score) for key, score in zip(batch.ids, batch.vectors @ query[0], strict=True)}
        (hits,) = connector.search("c", query * 7, 50).hits
        assert len(hits) == 50
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.id], abs=1e-5)

    def test_recall_of_the_papers_index(self, connector: Connector) -> None:
        vectors = cloud(3_000, 32)
        ids = [str(i) for i in range(3_000)]
        connector.create(Collection("c", 32, Hnsw(m=32, ef_construction=400)))
        connector.upsert("c", Points(ids, vectors, [{}] * 3_000))
        connector.finalize("c")
        assert connector.describe("c").indexed == connector.describe("c").count == 3_000
        queries = cloud(50, 32, seed=1)
        scores = queries @ vectors.T
        tenth = np.sort(scores, axis=1)[:, -10]
        for params in (SearchParams(ef_search=128), SearchParams(exact=True)):
            found = connector.search("c", queries, 10, params=params).hits
            got = np.array([[scores[row, int(hit.id)] for hit in hits] for row, hits in enumerate(found)])
            assert (got >= tenth[:, None] - 1e-6).mean() >= (1.0 if params.exact else 0.99)

    def test_a_narrow_filter_still_finds_k_and_the_nearest(self, connector: Connector) -> None:
        vectors = cloud(6_000, 32)
        rows: list[Payload] = [{"n": i % 100} for i in range(6_000)]
        connector.create(Collection("c", 32, Hnsw(), {"n": int}))
        connector.upsert("c", Points([str(i) for i in range(6_000)], vectors, rows))
        connector.finalize("c")
        queries = cloud(20, 32, seed=1)
        for text, below in (("n = 0", 1), ("n < 10", 10)):
            scores = queries @ vectors[np.arange(6_000) % 100 < below].T
            fiftieth = np.sort(scores, axis=1)[:, -50]
            found = connector.search("c", queries, 50, where=parse_filter(text)).hits
            assert [len(hits) for hits in found] == [50] * 20
            got = np.array([[hit.score for hit in hits] for hits in found])
            assert (got >= fiftieth[:, None] - 1e-5).mean() >= 0.95

    def test_what_was_done_otherwise_than_asked_is_told(self, connector: Connector) -> None:
        self.filled(connector, points(400))
        found = connector.search("c", cloud(2), 50, params=SearchParams(ef_search=10, nprobe=3))
        assert [len(hits) for hits in found.hits] == [50, 50]
        assert found.asked == 50
        assert "ef_search=10 was asked; 50 neighbours need 50: it was used" in found.notes
        assert "nprobe has no meaning for hnsw: it was not used" in found.notes
        assert connector.search("c", cloud(2), 5).notes == ()

    def test_without_payloads_ids_and_scores_stay(self, connector: Connector) -> None:
        batch = points(30)
        keys = [f"key {i}" if i % 2 else one for i, one in enumerate(batch.ids)]
        self.filled(connector, Points(keys, batch.vectors, batch.payloads))
        whole = connector.search("c", cloud(1), 10).hits[0]
        bare = connector.search("c", cloud(1), 10, with_payload=False).hits[0]
        assert [(hit.id, hit.payload) for hit in bare] == [(hit.id, {}) for hit in whole]
        assert [hit.score for hit in bare] == pytest.approx([hit.score for hit in whole])

    def test_quantised_graphs_find_as_much(self, connector: Connector) -> None:
        spread = np.random.default_rng(0).normal(size=(DIM, 256)).astype(np.float32)
        vectors, queries = (
            rows / np.linalg.norm(rows, axis=1, keepdims=True)
            for rows in (cloud(1_000) @ spread, cloud(20, seed=1) @ spread)
        )
        tenth = np.sort(queries @ vectors.T, axis=1)[:, -10]
        for kind in connector.abilities.quantization:
            name = f"c_{kind}"
            connector.create(Collection(name, 256, Hnsw(quantization=kind)))
            connector.upsert(name, Points([str(i) for i in range(1_000)], vectors, [{}] * 1_000))
            connector.finalize(name)
            assert connector.describe(name).collection.index == Hnsw(quantization=kind)
            found = connector.search(name, queries, 10, params=SearchParams(ef_search=256)).hits
            rows = np.array([[int(hit.id) for hit in hits] for hits in found])
            got = np.einsum("qd,qkd->qk", queries, vectors[rows])
            assert (got >= tenth[:, None] - 1e-5).mean() >= 0.9, kind

    def test_patients_stand_once_however_many_units_they_have(
        self, connector: Connector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By all whole-number ids, one of 80 units near the query; past 20 points, those found are left out."""
        monkeypatch.setattr(neighbours, "WIDEST", 20)
        vectors, query = cloud(200), cloud(1, seed=2)[0]
        vectors[:80] = query + 0.05 * vectors[:80]
        whose: list[int | None] = [1] * 80 + [10_000 + i // 3 for i in range(117)] + [None] * 3
        rows: list[Payload] = [
            {"who": one, "n": i % 2} if one else {"n": i % 2} for i, one in enumerate(whose)
        ]
        fields: Mapping[str, FieldType] = {"who": int, "n": int}
        connector.create(Collection("c", DIM, Flat(), fields, {"patient_field": "who"}))
        connector.upsert("c", Points([str(i) for i in range(200)], vectors, rows))
        connector.finalize("c")
        scores = vectors @ query / np.linalg.norm(vectors, axis=1)
        for where, k in ((None, 5), (None, 100), (parse_filter("n = 1"), 12)):
            best: dict[str, float] = {}
            for i in np.flatnonzero([where is None or row["n"] == 1 for row in rows]):
                key = str(whose[i] or f"nobody {i}")
                best[key] = max(best.get(key, -1.0), float(scores[i]))
            found = neighbours.of_vector(connector, "c", query, k, where=where)
            expected = sorted(best.values(), reverse=True)[:k]
            assert [hit.score for hit in found.hits] == pytest.approx(expected, abs=1e-5)
            assert bool(found.shortfall) == (len(expected) < k)
        others = neighbours.of_patient(connector, "c", "1", 100).hits
        assert len(others) == 39 + 3
        assert 1 not in {hit.payload.get("who") for hit in others}

    def test_the_padding_of_units_is_found_and_not_asked_for(self, connector: Connector) -> None:
        """Of the stored vectors of a patient and of a text, whose own has none: the scan's scores, on every engine."""
        stored = cloud(80, seed=5)
        stored[:, -1] = np.linspace(0, 3, 80)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        connector.create(Collection("c", DIM, Flat(), {"n": int}, {"padding": DIM - 1}))
        ids = [f"u{row}" for row in range(80)]
        connector.upsert("c", Points(ids, stored, [{"n": row} for row in range(80)]))
        connector.finalize("c")
        for row in (0, 40, 79):
            asked = np.append(stored[row, :-1], np.float32(0))
            asked /= np.linalg.norm(asked)
            expected = dict(zip(ids, (stored @ asked).tolist(), strict=True))
            found = neighbours.of_patient(connector, "c", f"u{row}", 20).hits
            best = sorted((one for key, one in expected.items() if key != f"u{row}"), reverse=True)[:20]
            assert [hit.score for hit in found] == pytest.approx(best, abs=1e-4)
            assert [hit.score for hit in found] == pytest.approx(
                [expected[hit.id] for hit in found], abs=1e-4
            )
            of_text = neighbours.of_vector(connector, "c", asked, 21).hits
            assert [hit.id for hit in of_text if hit.id != f"u{row}"][:20] == [hit.id for hit in found]
