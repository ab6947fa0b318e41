"""The pairwise validator: which pairs are drawn, who learns from them, and what it finds."""

import numpy as np
import pytest
from cohorts.encoders.base import Vectors
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.training import VALIDATION_SHARE
from cohorts.errors import InputError, LeakageError
from cohorts.harness.evaluate.data import pairs
from cohorts.harness.evaluate.data.pairs import (
    Names,
    Pairs,
    PairScore,
    Rows,
    broad_groups,
    draw_pairs,
    pair_auc,
    without_hard,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

PHENOTYPES = np.array(["", "stroke", "heart_failure", "sepsis", "asthma", "copd"])
RNG = np.random.default_rng


def made_up(n: int = 1_200, seed: int = 0) -> tuple[Names, Rows, Rows, Rows]:
    """Return phenotype and patient of n units, two a patient, and the rows to train on and to judge by."""
    phenotype = PHENOTYPES[RNG(seed).integers(0, len(PHENOTYPES), n)]
    patient = np.arange(n, dtype=np.intp) // 2
    held = patient % 4 == 0
    return phenotype, patient, np.flatnonzero(~held), np.flatnonzero(held)


def scored(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> PairScore:
    return pair_auc(vectors.astype(np.float32), *made_up(), seed=0, count=1_000)


def clusters(width: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Return a direction for each phenotype, one for each unit."""
    place = {name: row for row, name in enumerate(PHENOTYPES)}
    return RNG(1).normal(size=(len(PHENOTYPES), width))[[place[str(name)] for name in made_up()[0]]]


def auc_of_cosines(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> float:
    phenotype, patient, _, test = made_up()
    left, right, same, _ = draw_pairs(phenotype[test], patient[test], 1_000, RNG(0))
    unit = unit_rows(vectors[test].astype(np.float32))
    return float(roc_auc_score(same, (unit[left] * unit[right]).sum(axis=1)))


def can_begin(row: int, phenotype: Names, patient: Rows) -> bool:
    others = phenotype[(patient != patient[row]) & (phenotype != "")]
    return bool(phenotype[row] and (others == phenotype[row]).any() and (others != phenotype[row]).any())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PHENOTYPES.tolist()), st.integers(0, 25)), min_size=2, max_size=60))
def test_every_pair_is_what_it_is_said_to_be(units: list[tuple[str, int]]) -> None:
    phenotype = np.array([name for name, _ in units])
    group, patient = broad_groups(phenotype), np.array([one for _, one in units], np.intp)
    try:
        drawn = draw_pairs(phenotype, patient, 30, RNG(0))
    except InputError:
        assert len({patient[row] for row in range(len(units)) if can_begin(row, phenotype, patient)}) < 10
        return
    left, right, same, hard = drawn
    assert (patient[left] != patient[right]).all()
    assert (phenotype[left] != "").all()
    assert (phenotype[right] != "").all()
    np.testing.assert_array_equal(phenotype[left] == phenotype[right], same)
    assert same.sum() == 30 == (~same).sum()
    np.testing.assert_array_equal(left[same], left[~same])
    assert not (hard & same).any()
    assert (group[left] == group[right])[hard].all()
    for row in left[~same & ~hard]:
        near = (group == group[row]) & (phenotype != phenotype[row]) & (patient != patient[row])
        assert not near.any()


def test_a_phenotype_of_one_patient_begins_no_pair() -> None:
    phenotype = np.array(["stroke", "stroke", *["sepsis"] * 12])
    patient = np.array([0, 0, *range(1, 13)], np.intp)
    drawn = draw_pairs(phenotype, patient, 200, RNG(0))
    assert set(phenotype[drawn.left]) == {"sepsis"}
    assert set(drawn.right[~drawn.same]) == {0, 1}  # but it may well be the other one
    assert not drawn.hard.any()


def test_every_row_and_every_partner_can_be_drawn() -> None:
    phenotype, patient, *_ = made_up(60)
    group = broad_groups(phenotype)
    drawn = draw_pairs(phenotype, patient, 20_000, RNG(0))
    assert set(drawn.left) == set(np.flatnonzero(phenotype != ""))
    assert drawn.hard[20_000:].mean() == pytest.approx(0.8, abs=0.1)  # all but those of sepsis
    for kind in (drawn.same, drawn.hard):
        found = set(zip(drawn.left[kind], drawn.right[kind], strict=True))
        possible = {
            (a, b)
            for a in range(60)
            for b in range(60)
            if patient[a] != patient[b]
            and phenotype[a]
            and phenotype[b]
            and group[a] == group[b]
            and (phenotype[a] == phenotype[b]) == (kind is drawn.same)
        }
        assert found == possible


@pytest.mark.parametrize("phenotype", ["", "stroke"])
def test_too_few_to_draw_from(phenotype: str) -> None:
    names = np.array([*[phenotype] * 30, *["sepsis"] * 9 * (phenotype == "")])
    with pytest.raises(InputError, match="at least 10 are needed"):
        draw_pairs(names, np.arange(len(names)), 5, RNG(0))


def test_separable_clusters_are_told_apart() -> None:
    score = scored(clusters(16) + RNG(2).normal(size=(1_200, 16)) * 0.1)
    assert min(score) > 0.99


def test_random_vectors_tell_nothing() -> None:
    score = scored(RNG(2).normal(size=(1_200, 16)))
    for auc in score:
        assert auc == pytest.approx(0.5, abs=0.05)


def test_a_classifier_finds_what_the_cosine_drowns_in_noise() -> None:
    vectors = np.concatenate([clusters(4), RNG(2).normal(size=(1_200, 28)) * 3], axis=1)
    assert scored(vectors).auc > auc_of_cosines(vectors) + 0.05


def test_the_broad_group_alone_does_not_help_with_hard_pairs() -> None:
    group = broad_groups(made_up()[0])
    directions = {name: row for row, name in enumerate(np.unique(group))}
    by_group = RNG(1).normal(size=(len(directions), 16))[[directions[name] for name in group]]
    score = scored(by_group + RNG(2).normal(size=(1_200, 16)) * 0.1)
    assert score.auc_hard == pytest.approx(0.5, abs=0.05)
    assert score.auc > 0.55


def test_without_hard_pairs_there_is_no_figure_of_them() -> None:
    phenotype = np.where(np.arange(400) % 3, "sepsis", "stroke")
    patient = np.arange(400, dtype=np.intp)
    rows = np.flatnonzero(patient % 4 > 0), np.flatnonzero(patient % 4 == 0)
    vectors = RNG(0).normal(size=(400, 4)).astype(np.float32)
    score = pair_auc(vectors, phenotype, patient, *rows, seed=0, count=50)
    assert np.isnan(score.auc_hard)
    assert not np.isnan(score.auc)


def test_phenotypes_without_hard_negatives_are_named() -> None:
    """Sepsis is alone in its group; stroke is too where no other condition of its group is there."""
    assert without_hard(made_up()[0]) == ["sepsis"]
    assert without_hard(np.array(["", "sepsis", "stroke", "asthma", "copd"])) == ["sepsis", "stroke"]
    assert without_hard(np.array(["", ""])) == []


def test_likeness_depends_on_the_pair_and_not_on_who_is_first() -> None:
    """Two subnetworks that share their weights, and a difference without a sign: the paper, section 3.2."""
    phenotype, patient, train, _ = made_up()
    unit = unit_rows((clusters(8) + RNG(2).normal(size=(1_200, 8))).astype(np.float32))
    drawn = draw_pairs(phenotype[train], patient[train], 200, RNG(0))
    likely = pairs._learn(unit[train], drawn, drawn, seed=0)
    turned = drawn._replace(left=drawn.right, right=drawn.left)
    np.testing.assert_allclose(likely(drawn), likely(turned), atol=1e-6)
    assert ((likely(drawn) > 0) & (likely(drawn) < 1)).all()
    alone = drawn._replace(right=drawn.left)
    np.testing.assert_allclose(
        likely(alone), likely(alone)[0], atol=1e-6
    )  # no difference: the same for everybody


def test_the_same_seed_gives_the_same_score() -> None:
    vectors = RNG(2).normal(size=(1_200, 8)).astype(np.float32)
    first, again, other = (pair_auc(vectors, *made_up(), seed, count=100) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_nobody_is_learnt_from_and_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    phenotype, patient, train, test = made_up()
    vectors = RNG(0).normal(size=(1_200, 4)).astype(np.float32)
    with pytest.raises(LeakageError, match="1 patients are among those"):
        pair_auc(vectors, phenotype, patient, np.append(train, test[0]), test, 0)
    seen: list[Pairs] = []
    learn = pairs._learn

    def watched(unit: Vectors, learnt: Pairs, validation: Pairs, seed: int) -> object:
        seen.extend([learnt, validation])
        return learn(unit, learnt, validation, seed)

    monkeypatch.setattr(pairs, "_learn", watched)
    pair_auc(vectors, phenotype, patient, train, test, 0, count=500)
    learnt, validation = (set(patient[np.concatenate([one.left, one.right])].tolist()) for one in seen)
    assert learnt | validation <= set(patient[train].tolist())
    assert not learnt & validation
    assert len(validation) / len(learnt | validation) == pytest.approx(VALIDATION_SHARE, abs=0.05)


def test_lengths_of_vectors_do_not_matter() -> None:
    vectors = clusters(8) + RNG(2).normal(size=(1_200, 8))
    stretched = scored(vectors * RNG(3).uniform(0.5, 20, size=(1_200, 1)))
    np.testing.assert_allclose(stretched, scored(vectors), atol=1e-3)
