"""The nearest rows, block by block, are those of a sort of all; also with ties, few rows and no rows."""

import numpy as np
from cohorts.measures.neighbours import NearestRows
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_blocks_of_any_size_give_the_best_of_all(many: int, k: int, block: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 6, (4, many)).astype(np.float32)  # many ties
    found = NearestRows(4, k)
    for first in range(0, many, block):
        some = np.arange(first, min(first + block, many))
        found.add(some, scores[:, some])
    found.sort()
    np.testing.assert_array_equal(found.scores, -np.sort(-scores, axis=1)[:, :k])
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())
    np.testing.assert_array_equal(np.take_along_axis(scores, found.rows, axis=1), found.scores)
    for scored, rows in zip(found.scores.tolist(), found.rows.tolist(), strict=True):
        assert list(zip([-one for one in scored], rows, strict=True)) == sorted(
            zip([-one for one in scored], rows, strict=True)
        )
