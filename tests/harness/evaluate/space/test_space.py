"""Measures of an embedding space against closed forms, few labels, and the command line."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from checkpoints import make_checkpoint
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.pooling import unit_rows
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import evaluate
from cohorts.harness.evaluate.data.encoders import NamedEncoder
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.harness.evaluate.space import few_labels, unfreezing
from cohorts.harness.evaluate.space import umap as umap_plane
from cohorts.harness.evaluate.space.evaluation import SpaceTask
from cohorts.measures import geometry as space
from cohorts.records.base import Source
from cohorts.records.sources.registry import open_source
from command_line import ok, refused, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.sparse import csr_array
from scipy.stats import ortho_group
from sklearn.metrics import silhouette_score


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


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_umap_keeps_who_is_near_whom(kind: Callable[[Vectors], Any]) -> None:
    pytest.importorskip("umap")
    classes = np.arange(3).repeat(40)
    points = unit_rows(np.eye(3, 64, dtype=np.float32)[classes] + 0.3 * sphere(120, 64))
    placed = umap_plane.umap_plane(kind(points))
    assert placed.shape == (120, 2)
    assert silhouette_score(placed, classes) > 0.7
    assert (placed == umap_plane.umap_plane(kind(points))).all()
    lengthened = points * np.linspace(1, 9, 120, dtype=np.float32)[:, None]
    assert silhouette_score(umap_plane.umap_plane(kind(lengthened)), classes) > 0.7  # by cosine
    assert np.isfinite(umap_plane.umap_plane(kind(points[:5]))).all()
    assert np.isnan(umap_plane.umap_plane(kind(points[:4]))).all()


def test_the_page_of_umap_tells_no_variance(notes: Path, tmp_path: Path) -> None:
    pytest.importorskip("umap")
    ok(f"{evaluation(notes, tmp_path)} --encoder word2vec:dim=16,min_count=2 --projection umap")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "UMAP in two dimensions" in page
    assert "% of the variance" not in page
    assert page.count("<circle") == 2 * 36
    plane = pd.read_csv(tmp_path / "report" / "plane.csv")
    assert plane[["first", "second"]].notna().all(axis=None)
    assert json.loads((tmp_path / "report" / "manifest.json").read_text())["plan"]["projection"] == "umap"


def test_umap_is_an_extra(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    told = refused(f"{evaluation(notes, tmp_path)} --encoder word2vec --projection umap")
    assert "pip install 'ehr-cohorts[umap]'" in told
    assert not (tmp_path / "report" / "report.html").exists()


def evaluation(notes: Path, folder: Path) -> str:
    return (
        f"evaluate space --source notes-csv --path {notes} --columns id=id,text=note --labels topic --seeds 1 "
        f"--out {folder}/report"
    )


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


@pytest.mark.parametrize("shrunk", [1.0, 0.01])
def test_f1_does_not_hang_on_the_scale_of_a_space(shrunk: float) -> None:
    rng = np.random.default_rng(0)
    labels = classes_of({"a": 100, "b": 60, "c": 40})
    centres = np.eye(3, 8)[np.unique(labels, return_inverse=True)[1]]
    points = centres + 0.6 * rng.standard_normal((200, 8))  # classes that overlap
    learnt, held = few_labels.hold_out(labels, 0)
    expected = few_labels.macro_f1(points, labels, learnt, held)
    assert 0.4 < expected < 0.95
    assert few_labels.macro_f1(shrunk * points, labels, learnt, held) == pytest.approx(expected, abs=0.01)


TOPICS = {
    "heart": ["chest", "pain", "troponin", "coronary", "murmur", "failure", "rhythm", "stent"],
    "lung": ["cough", "wheeze", "asthma", "inhaler", "sputum", "oxygen", "smoker", "pneumonia"],
    "bone": ["fracture", "cast", "femur", "fall", "hip", "ankle", "splint", "ligament"],
}
FILLER = ["the", "patient", "was", "seen", "today", "with", "history", "of"]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 documents of each of three topics, 5 of a rare one, and one without a text and one without a label."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, str | None, str | None]] = [
        (f"{topic}{i}", topic, " ".join([*rng.choice(TOPICS[topic], 12), *rng.choice(FILLER, 12)]))
        for topic in TOPICS
        for i in range(40)
    ]
    rows += [(f"rare{i}", "rare", "fall") for i in range(5)] + [
        ("bare", "heart", None),
        ("none", None, "a fall"),
    ]
    file = tmp_path_factory.mktemp("notes") / "notes.csv"
    pd.DataFrame(rows, columns=["id", "topic", "note"]).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def evaluated(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    out = tmp_path_factory.mktemp("space") / "report"
    tiny = make_checkpoint(out.parent / "tiny", pd.read_csv(notes)["note"].dropna())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(out.parent / "cache"))
        patch.setattr(unfreezing, "LEAST_STEPS", 10)  # that they learn is tested elsewhere
        code, shown, told = run(
            f"evaluate space --source notes-csv --path {notes} --columns id=id,text=note --labels topic --seeds 2 "
            f"--encoder tiny=bert:{tiny},precision=fp32 --encoder word2vec:dim=16,min_count=2 "
            f"--unfreeze 1 --unfreeze 0 --out {out}"
        )
    assert code == 0, told
    return out, shown, told


def test_every_space_is_measured(evaluated: tuple[Path, str, str]) -> None:
    out, shown, told = evaluated
    names = [
        "TF-IDF",
        "tiny",
        "tiny, centred",
        "word2vec:dim=16,min_count=2",
        "word2vec:dim=16,min_count=2, centred",
    ]
    frame, few = pd.read_csv(out / "space.csv"), pd.read_csv(out / "few_labels.csv")
    assert frame["encoder"].tolist() == names * 2
    assert frame.drop(columns="encoder").notna().all(axis=None)
    assert set(few["labels"]) == {16, 64, 84}
    assert few.groupby("encoder").size().to_dict() == dict.fromkeys(names, 2 * 3) | {"tiny": 2 * 3 * 3}
    assert few["unfrozen"].dropna().tolist() == [0, 0, 0, 1, 1, 1] * 2
    frozen = few[few["unfrozen"].isna()]
    f1 = frozen.groupby(["encoder", "labels"])["f1"].mean().to_dict()
    assert f1["TF-IDF", 84] > 0.9  # the topics share no word
    within, between, alignment, anisotropy = (
        frame.groupby("encoder")[name].mean().to_dict()
        for name in ("within", "between", "alignment_label", "anisotropy")
    )
    assert within["TF-IDF"] > between["TF-IDF"]
    assert anisotropy["tiny"] > 0.5 > abs(anisotropy["tiny, centred"])
    assert all(alignment[name] == pytest.approx(2 - 2 * within[name], abs=1e-5) for name in names)
    assert "F1 macro" in shown
    assert "tiny, 1 layer" in shown
    assert told.count("left out: TF-IDF, word2vec:dim=16,min_count=2.") == 1
    assert f"Report: {out}/report.html" in told


def test_the_page_shows_every_picture(evaluated: tuple[Path, str, str]) -> None:
    out = evaluated[0]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == {
        "documents": 126,  # the reader keeps no row without a text
        "without text": 0,
        "judged": 120,
        "classes": 3,
        "cut into halves": 120,
    }
    assert set(manifest["plan"]["encoders"]) == {"TF-IDF", "tiny", "word2vec:dim=16,min_count=2"}
    page = (out / "report.html").read_text()
    assert page.count("<circle") == 3 * 36  # the held-out documents, of every space as it is
    assert page.count("<polygon") == 5 * 2
    assert page.count("<polyline") == 5 * 2
    assert page.count("% of the variance)") == 3
    for line in ("tiny, head alone trained", "tiny, 1 layer trained", "The first two principal components"):
        assert page.count(line) == 1
    cosines = pd.read_csv(out / "cosines.csv").groupby("encoder")[["within", "between"]].sum()
    assert (cosines.sum(axis=1) == 36 * 35 // 2).all()
    assert len(pd.read_csv(out / "graphs.csv")) == 5 * 40


def test_what_is_fitted_sees_no_document_held_out(notes: Path, tmp_path: Path) -> None:
    seen: list[set[str]] = []

    class Spy(TfIdf):
        def fit(self, source: Source) -> Self:
            seen.append({unit for batch in source.batches() for unit in batch.units["unit_id"]})
            return super().fit(source)

    task = SpaceTask(label="topic", contestants=[NamedEncoder("spy", Spy())], seeds=2)
    columns = {"id": "id", "text": "note"}
    with open_source(
        "notes-csv",
        notes,
        work_dir=tmp_path,
        quarantine_file=tmp_path / "bad.csv",
        columns=columns,
        labels=["topic"],
    ) as source:
        evaluate(task, source)
    assert [len(ids) for ids in seen] == [84, 84]
    assert seen[0] != seen[1]


def test_what_can_not_be_judged_is_refused(notes: Path, tmp_path: Path) -> None:
    place = (
        f"evaluate space --source notes-csv --path {notes} --columns id=id,text=note --out {tmp_path}/report"
    )
    assert "2 are needed" in refused(f"{place} --labels id --encoder word2vec")
    assert "one name" in refused(f"{place} --labels topic --encoder word2vec --encoder word2vec")
    assert "There is no encoder 'nothing'" in refused(f"{place} --labels topic --encoder nothing")
    assert "keeps no label" in refused(f"{place} --labels topic,id --encoder word2vec")
