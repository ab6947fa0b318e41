"""Measures of an embedding space against closed forms, few labels, pairs of texts, and the command line."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.base import Vectors
from cohorts.encoders.pooling import unit_rows
from cohorts.errors import InputError
from cohorts.harness import few_labels, semantic, space
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.sparse import csr_array
from scipy.stats import ortho_group


def sphere(n: int, dim: int, seed: int = 0) -> Vectors:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32))


def expected_uniformity(dim: int) -> float:
    """By the density of the cosine of two points that are uniform on the sphere: (1 - t²)^((dim - 3)/2)."""

    def density(t: float) -> float:
        return float((1 - t * t) ** ((dim - 3) / 2))

    near = quad(lambda t: np.exp(-4 * (1 - t)) * density(t), -1, 1)[0]
    return float(np.log(near / quad(density, -1, 1)[0]))


@pytest.mark.parametrize("dim", [3, 16, 64])
def test_points_spread_evenly_have_the_figures_of_the_sphere(dim: int) -> None:
    points = sphere(3_000, dim)  # several blocks
    assert space.uniformity(points) == pytest.approx(expected_uniformity(dim), abs=0.01)
    assert space.anisotropy(points) == pytest.approx(0, abs=0.005)
    by_chance = np.random.default_rng(1).choice(["a", "b"], 3_000)
    assert space.alignment(points, by_chance) == pytest.approx(2, abs=0.02)
    # The largest of dim equal shares, as far as chance lifts it: the edge of Marchenko and Pastur.
    assert 1 <= space.principal_plane(points)[1][0] * dim <= (1 + (dim / 3_000) ** 0.5) ** 2


def test_on_the_sphere_of_three_dimensions_the_integral_is_elementary() -> None:
    assert expected_uniformity(3) == pytest.approx(np.log((1 - np.exp(-8)) / 8))


def test_identical_points() -> None:
    points, names = np.repeat(sphere(1, 32), 700, axis=0), np.repeat(["a", "b"], 350)
    assert space.uniformity(points) == pytest.approx(0, abs=1e-5)
    assert space.anisotropy(points) == pytest.approx(1, abs=1e-5)
    assert space.alignment(points, names) == pytest.approx(0, abs=1e-5)
    assert space.mean_cosines(points, names) == pytest.approx((1, 1), abs=1e-5)
    placed, shares = space.principal_plane(points)
    assert placed.shape == (700, 2)
    assert np.isnan(shares).all()


def test_points_on_one_line_have_one_component() -> None:
    points = np.array([[1, 0, 0], [-1, 0, 0]] * 5, np.float32)
    placed, shares = space.principal_plane(points)
    assert shares == pytest.approx((1, 0))
    assert np.abs(placed[:, 0]) == pytest.approx(1)
    assert space.anisotropy(points) == pytest.approx((20 - 25) / 45)  # 20 pairs alike, 25 opposite


def test_without_a_pair_there_is_no_figure() -> None:
    points = sphere(3, 4)
    alone, together = np.array(["a", "b", "c"]), np.array(["a", "a", "a"])
    assert np.isnan(space.alignment(points, alone))
    assert np.isnan(space.mean_cosines(points, together).between)


def two_cliques(of: int) -> tuple[Vectors, space.Names]:
    """Vectors whose cosines are .5 in either clique and between the last of one and the first of the other, else 0."""
    cosines = np.kron(np.eye(2), np.full((of, of), 0.5)) + 0.5 * np.eye(2 * of)
    cosines[of - 1, of] = cosines[of, of - 1] = 0.45
    return np.linalg.cholesky(cosines).astype(np.float32), np.repeat(["left", "right"], of)


def test_two_cliques_joined_by_an_edge() -> None:
    vectors, side = two_cliques(4)  # 6 edges on either side and 1 between: 13
    joined, apart, none = space.graphs(vectors, side, [0.4, 0.48, 0.6])
    # Of 26 ends, 13 on either side: 12/13 - 2·(13/26)².
    assert joined == pytest.approx((0.4, 13 / 28, 1, 1.0, 12 / 13 - 0.5))
    assert apart == pytest.approx((0.48, 12 / 28, 2, 0.5, 1 - 0.5))
    assert none[:4] == pytest.approx((0.6, 0, 8, 1 / 8))
    assert np.isnan(none.modularity)


def test_one_class_alone_has_no_modularity_and_a_wrong_one_a_negative() -> None:
    vectors, _ = two_cliques(4)
    assert space.graphs(vectors, np.full(8, "all"), [0.48])[0].modularity == pytest.approx(0)
    crossed = np.array(["a", "b"] * 4)  # 2 of 6 edges within, on either side
    assert space.graphs(vectors, crossed, [0.48])[0].modularity == pytest.approx(4 / 12 - 0.5)


def test_a_graph_over_many_blocks_is_that_of_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    vectors = unit_rows(sphere(30, 8, seed=3).repeat(40, axis=0) + 0.15 * sphere(1_200, 8, seed=4))
    classes = np.arange(30).repeat(40).astype(str)
    for graph in space.graphs(vectors, classes, [0.5, 0.8, 0.97]):
        theirs = networkx.from_numpy_array(np.triu(vectors @ vectors.T >= graph.threshold, k=1))
        parts = list(networkx.connected_components(theirs))
        assert graph.components == len(parts)
        assert graph.largest == pytest.approx(max(map(len, parts)) / 1_200)
        communities = [np.flatnonzero(classes == name).tolist() for name in np.unique(classes)]
        assert graph.modularity == pytest.approx(networkx.community.modularity(theirs, communities))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), dim=st.integers(3, 12), classes=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_properties(n: int, dim: int, classes: int, seed: int) -> None:
    rng, points = np.random.default_rng(seed), sphere(n, dim, seed)
    names = rng.integers(0, classes, n).astype(str)
    cosines = (points @ points.T)[np.triu_indices(n, k=1)].astype(np.float64)
    same = (names[:, None] == names)[np.triu_indices(n, k=1)]
    # Each is what its definition says of the pairs, written out.
    assert space.uniformity(points) == pytest.approx(np.log(np.exp(-2 * (2 - 2 * cosines)).mean()), abs=1e-5)
    assert space.uniformity(points) <= 1e-6
    assert space.anisotropy(points) == pytest.approx(cosines.mean(), abs=1e-5)
    within = cosines[same].mean() if same.any() else np.nan
    assert space.alignment(points, names) == pytest.approx(2 - 2 * within, abs=1e-5, nan_ok=True)
    found = space.histograms(points, names)
    assert (found.within.sum(), found.between.sum()) == (same.sum(), (~same).sum())
    sweep = space.graphs(points, names, [-1.0, 0.0, 0.3, 0.6])
    assert (sweep[0].density, sweep[0].components) == (1, 1)
    assert all(a.density >= b.density and a.components <= b.components for a, b in pairwise(sweep))
    assert all(np.isnan(one.modularity) or -0.5 - 1e-9 <= one.modularity < 1 for one in sweep)
    # A turned space is the same one, and so is one kept as a sparse matrix.
    turned = (points @ ortho_group.rvs(dim, random_state=seed)).astype(np.float32)
    for other in (turned, csr_array(points)):
        assert space.uniformity(other) == pytest.approx(space.uniformity(points), abs=1e-5)
        assert space.anisotropy(other) == pytest.approx(space.anisotropy(points), abs=1e-5)
        assert space.mean_cosines(other, names) == pytest.approx(
            space.mean_cosines(points, names), abs=1e-5, nan_ok=True
        )


def test_the_plane_of_sparse_rows_is_that_of_dense_ones() -> None:
    points = unit_rows(sphere(200, 20) * np.linspace(4, 1, 20, dtype=np.float32))
    (dense, shares), (sparse, theirs) = (
        space.principal_plane(points),
        space.principal_plane(csr_array(points)),
    )
    assert theirs == pytest.approx(shares, rel=1e-4)
    assert np.abs(sparse) == pytest.approx(np.abs(dense), abs=1e-3)


def classes_of(sizes: dict[str, int]) -> space.Names:
    return np.array([name for name, many in sizes.items() for _ in range(many)])


def test_few_labels_hold_of_each_class_its_share() -> None:
    labels = classes_of({"a": 300, "b": 100, "c": 12, "d": 10})
    learnt, held = few_labels.hold_out(labels, seed=1)
    assert not set(learnt) & set(held)
    assert len(learnt) + len(held) == len(labels)
    assert dict(Counter(labels[held].tolist())) == {"a": 90, "b": 30, "c": 4, "d": 3}
    chosen = Counter(labels[few_labels.few(labels, learnt, 16, seed=2)].tolist())
    assert chosen.total() == 16
    assert set(chosen) == set("abcd")
    assert 8 <= chosen["a"] <= 11
    assert len(set(few_labels.few(labels, learnt, 3, seed=2))) == 3  # fewer than classes
    assert set(few_labels.few(labels, learnt, 64, seed=2)) <= set(learnt)
    assert few_labels.few(labels, learnt, None, seed=2) is learnt
    assert few_labels.sizes_below(len(learnt)) == [16, 64, 256, None]
    assert few_labels.sizes_below(64) == [16, None]


def test_seeds_hold_out_others_and_the_same_seed_the_same() -> None:
    labels = classes_of({"a": 50, "b": 50})
    first, again, other = (few_labels.hold_out(labels, seed)[1] for seed in (0, 0, 1))
    assert (first == again).all()
    assert set(first) != set(other)


def test_rare_classes_and_missing_labels_are_left_out() -> None:
    labels = classes_of({"a": 10, "": 20, "b": 11, "c": 9})
    assert set(labels[few_labels.common_classes(labels)]) == {"a", "b"}
    with pytest.raises(InputError, match="1 of 2 labels stand with 10 units or more"):
        few_labels.common_classes(classes_of({"a": 30, "b": 9}))


@pytest.mark.parametrize("shrunk", [1.0, 0.01])
def test_classes_that_lie_apart_are_learnt_from_few_labels(shrunk: float) -> None:
    """However close together the space lies: it is scaled to one variance."""
    rng = np.random.default_rng(0)
    labels = classes_of({"a": 100, "b": 60, "c": 40})
    centres = np.eye(3, 8)[np.unique(labels, return_inverse=True)[1]]
    points = (1 + shrunk * (centres + 0.1 * rng.standard_normal((200, 8)))).astype(np.float32)
    learnt, held = few_labels.hold_out(labels, 0)
    seen = few_labels.few(labels, learnt, 16, 0)
    assert few_labels.macro_f1(points, labels, seen, held) > 0.95
    assert few_labels.macro_f1(csr_array(points), labels, seen, held) > 0.95
    without_c = seen[labels[seen] != "c"]  # all 12 of c are told as another class
    assert 0.4 < few_labels.macro_f1(points, labels, without_c, held) <= 2 / 3


def test_f1_is_the_plain_mean_over_classes() -> None:
    labels = classes_of({"a": 10, "b": 10, "c": 2})
    points = np.array([[1.0, 0]] * 10 + [[0, 1.0]] * 10 + [[0, 1.0]] * 2, np.float32)
    known, all_rows = np.arange(20), np.arange(22)
    # a: 1; b: 10 found of 10, with 2 too many: 20/22; c: 0.
    assert few_labels.macro_f1(points, labels, known, all_rows) == pytest.approx((1 + 20 / 22 + 0) / 3)


def by_angle(texts: Sequence[str]) -> Vectors:
    """Turn a text that is a number of degrees into that direction."""
    angle = np.radians(np.array(texts, float))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_spearman_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("text_a,text_b,score\n0,10,5\n0,40,2\n0,30,3\n0,90,1\n")
    assert semantic.spearman(by_angle, semantic.read_pairs(file)) == pytest.approx(1)
    file.write_text("text_a,text_b,score\n0,10,5\n0,30,2\n0,40,3\n0,90,1\n")
    # One exchange of neighbours among 4: 1 - 6·2/(4·15).
    assert semantic.spearman(by_angle, semantic.read_pairs(file)) == pytest.approx(0.8)
    assert semantic.spearman(
        lambda texts: csr_array(by_angle(texts)), semantic.read_pairs(file)
    ) == pytest.approx(0.8)
    assert np.isnan(semantic.spearman(lambda texts: np.ones((len(texts), 2)), semantic.read_pairs(file)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text_a,score\na,1\n", "text_a, text_b, score"),
        (
            "text_a,text_b,score\na,secret,high\nc,d,1\n",
            "1 of 2 pairs lack a text or a number as score, first pair 1",
        ),
        ("text_a,text_b,score\na,b,1\nc,d,1\ne,f,1\n", "two different scores"),
        (None, "no readable CSV file"),
    ],
)
def test_pairs_that_can_not_be_used_are_refused(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "pairs.csv"
    if content:
        file.write_text(content)
    with pytest.raises(InputError, match=told) as caught:
        semantic.read_pairs(file)
    assert "secret" not in str(caught.value)
