"""Reference rows: the libraries in this process find more the harder they look, and refuse what they have not."""

import sys

import numpy as np
import pytest
from bench_answers import INDEX, PARAMS, VECTORS, K, check_whole, kept, target
from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.errors import InputError, MissingExtra, UnsupportedIndex
from cohorts.harness.bench.load.clients import lent
from cohorts.harness.bench.load.modes import Closed, one_by_one
from cohorts.harness.bench.load.workers import WorkerPool
from cohorts.harness.bench.run import references as reference
from cohorts.harness.bench.run.references import reference_client


class TestReference:
    @pytest.mark.parametrize(
        ("index", "much", "little"),
        [
            (Hnsw(m=16, ef_construction=100), SearchParams(ef_search=256), SearchParams(ef_search=1)),
            (Ivf(nlist=64), SearchParams(nprobe=64), SearchParams(nprobe=1)),
            (Annoy(n_trees=20), SearchParams(search_k=50_000), SearchParams(search_k=10)),
        ],
    )
    def test_it_finds_more_the_harder_it_looks(
        self, index: Index, much: SearchParams, little: SearchParams
    ) -> None:
        built_over, queries = VECTORS[:2_900], VECTORS[2_900:]
        nearest = np.argsort(-(queries @ built_over.T), axis=1)[:, :K]
        library, built = reference.build(index, built_over)
        recall = []
        for params in (much, little):
            samples = one_by_one(lent(reference_client(library, params)), queries, K).warm
            ids, scores = kept(samples)
            rows = [[int(key) for key in row if key] for row in ids]
            recall.append(
                np.mean([len({*row} & {*true}) / K for row, true in zip(rows, nearest.tolist(), strict=True)])
            )
            for at, row in enumerate(rows):
                np.testing.assert_allclose(scores[at, : len(row)], queries[at] @ built_over[row].T, atol=1e-4)
        assert recall[0] > 0.99
        assert recall[1] < recall[0] - 0.05
        assert (built.rows, built.engine) == (2_900, "annoy" if isinstance(index, Annoy) else "faiss")

    def test_several_threads_may_ask_it(self) -> None:
        library, _ = reference.build(INDEX, VECTORS)
        with WorkerPool() as pool:
            run = Closed(2).measure(target(pool, lent(reference_client(library, PARAMS)), seconds=0.2))
        check_whole(run.samples)

    def test_what_it_has_not_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for index in (Flat(), Hnsw(quantization="scalar")):
            with pytest.raises(UnsupportedIndex, match="reference"):
                reference.build(index, VECTORS)
        with pytest.raises(InputError, match=r"at least 256 vectors; 100 were given"):
            reference.build(Ivf(nlist=8, variant="pq"), VECTORS[:100])
        monkeypatch.setitem(sys.modules, "faiss", None)
        with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[reference\]'"):
            reference.build(INDEX, VECTORS)
