"""The Siamese networks and the category weights, against references written in plain numpy."""

import numpy as np
import pytest
import torch
from cohorts.encoders.fineehr.category_weights import category_means, learn_weights, pool
from cohorts.encoders.fineehr.siamese import (
    Refiner,
    SiameseSettings,
    can_learn,
    contrastive_loss,
    draw_pairs,
    effective_rank,
    identity,
    train_refiner,
)
from torch.nn.functional import linear, relu

Array = np.ndarray
MARGIN = 1.3


def random_pairs(n: int = 64, dim: int = 6) -> tuple[Array, Array, Array]:
    """Rows some of which are within the margin and some beyond it."""
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(2, n, dim)) * rng.uniform(0.05, 1, size=(2, n, 1))
    return left, right, rng.integers(0, 2, n).astype(float)


def loss_in_numpy(left: Array, right: Array, same: Array) -> float:
    total = 0.0
    for a, b, alike in zip(left, right, same, strict=True):
        distance = float(np.sqrt(((a - b) ** 2).sum()))
        total += distance**2 if alike else max(MARGIN - distance, 0) ** 2
    return total / len(left)


def gradient_in_numpy(left: Array, right: Array, same: Array) -> Array:
    """2(a−b) for the alike, −2·(margin−D)·(a−b)/D for others within the margin; the right side has minus that."""
    gradient = np.zeros_like(left)
    for row, (a, b, alike) in enumerate(zip(left, right, same, strict=True)):
        distance = np.sqrt(((a - b) ** 2).sum())
        if alike:
            gradient[row] = 2 * (a - b)
        elif distance < MARGIN:
            gradient[row] = -2 * (MARGIN - distance) * (a - b) / distance
    return gradient / len(left)


def test_loss_and_gradient_are_those_of_plain_numpy() -> None:
    left, right, same = random_pairs()
    distances = np.linalg.norm(left - right, axis=1)
    assert ((distances > MARGIN) & (same == 0)).any()
    assert ((distances < MARGIN) & (same == 0)).any()
    a, b = (torch.tensor(side, requires_grad=True) for side in (left, right))
    loss = contrastive_loss(a, b, torch.tensor(same), MARGIN)
    gradients = torch.autograd.grad(loss, [a, b])
    assert float(loss.detach()) == pytest.approx(loss_in_numpy(left, right, same), rel=1e-12)
    expected = gradient_in_numpy(left, right, same)
    for gradient, sign in zip(gradients, (1, -1), strict=True):
        np.testing.assert_allclose(gradient.numpy(), sign * expected, atol=1e-14)


def test_two_equal_notes_with_other_endings_give_no_nan() -> None:
    same_place = torch.zeros(1, 4, requires_grad=True)
    loss = contrastive_loss(same_place, torch.zeros(1, 4), torch.zeros(1), MARGIN)
    (gradient,) = torch.autograd.grad(loss, [same_place])
    assert float(loss.detach()) == pytest.approx(MARGIN**2, abs=1e-5)
    assert torch.isfinite(gradient).all()


def test_gradients_of_the_network_are_those_of_plain_numpy() -> None:
    left, right, same = random_pairs(n=20, dim=5)
    rng = np.random.default_rng(0)
    start = Refiner(*(np.asarray(one + rng.normal(size=one.shape) * 0.1, np.float64) for one in identity(5)))  # type: ignore[arg-type]
    tensors = [torch.tensor(one, requires_grad=True) for one in start]
    one, other = (
        linear(relu(linear(torch.tensor(side), *tensors[:2])), *tensors[2:]) for side in (left, right)
    )
    gradients = torch.autograd.grad(contrastive_loss(one, other, torch.tensor(same), MARGIN), tensors)

    expected = [np.zeros_like(one) for one in start]
    hidden = [side @ start.inner.T + start.inner_bias for side in (left, right)]
    first, second = (np.maximum(one, 0) @ start.outer.T + start.outer_bias for one in hidden)
    above = gradient_in_numpy(first, second, same)
    for side, before, sign in zip((left, right), hidden, (1, -1), strict=True):
        back = sign * above
        inner = (back @ start.outer) * (before > 0)
        for place, part in enumerate(
            (inner.T @ side, inner.sum(0), back.T @ np.maximum(before, 0), back.sum(0))
        ):
            expected[place] += part
    for gradient, reference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), reference, atol=1e-13)


def test_the_network_begins_as_the_identity() -> None:
    notes = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    network = identity(7)
    assert network.inner.shape == (14, 7)
    np.testing.assert_array_equal(network.refine(notes), notes)


def test_pairs_are_balanced_and_labelled_by_their_endings() -> None:
    died = np.arange(200) < 7
    left, right, same = draw_pairs(died, 128, np.random.default_rng(0))
    assert len(left) == 128
    np.testing.assert_array_equal(same, died[left] == died[right])
    assert same.sum() == 64
    assert (died[left] & died[right]).sum() == 32
    assert len(set(right[64:].tolist())) > 40  # survivors are drawn anew, pair by pair


def endings(n: int, dim: int, shift: float, seed: int) -> tuple[Array, Array, Array]:
    """Notes in noise, the dead a little apart in one direction: vectors, who died, who is held back."""
    rng = np.random.default_rng(seed)
    died = rng.random(n) < 0.3
    notes = rng.normal(size=(n, dim))
    notes[:, 0] += shift * died
    notes /= np.linalg.norm(notes, axis=1, keepdims=True)
    return notes.astype(np.float32), died, rng.random(n) < 0.3


def test_training_brings_equal_endings_together_on_notes_that_it_has_not_seen() -> None:
    notes, died, validation = endings(1_500, 16, 2.0, seed=1)
    refiner, trace = train_refiner(
        notes, np.arange(len(notes)), died, validation, SiameseSettings(max_steps=600)
    )
    assert min(trace.validation_loss) < 0.9 * trace.validation_loss[0]
    fresh, fresh_died, _ = endings(1_500, 16, 2.0, seed=2)

    def contrast(vectors: Array) -> float:
        dead, alive = vectors[fresh_died], vectors[~fresh_died]
        return float(np.linalg.norm(dead.mean(0) - alive.mean(0)) / vectors.std())

    assert contrast(refiner.refine(fresh)) > 1.5 * contrast(fresh)


def test_early_stopping_goes_back_to_the_best_step() -> None:
    notes, died, validation = endings(300, 32, 0.5, seed=1)  # few notes, many dimensions: learnt by heart
    on = SiameseSettings(max_steps=1_500, patience=4)
    refiner, trace = train_refiner(notes, np.arange(len(notes)), died, validation, on)
    never = SiameseSettings(max_steps=1_500, patience=1_000)
    kept, whole = train_refiner(notes, np.arange(len(notes)), died, validation, never)
    assert trace.steps[-1] == trace.kept_step + 4 * 50 < 1_500
    assert whole.steps[-1] == 1_500
    assert whole.validation_loss[-1] > 1.1 * min(whole.validation_loss)  # what the guard saves from
    assert all((a == b).all() for a, b in zip(refiner, kept, strict=True))
    assert trace.validation_loss == whole.validation_loss[: len(trace.validation_loss)]


def test_a_space_that_collapses_is_seen_in_its_effective_rank() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(4_000, 24)).astype(np.float32)
    assert effective_rank(wide) == pytest.approx(24, rel=0.02)
    line = np.outer(rng.normal(size=500), np.ones(24)).astype(np.float32)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(np.ones((10, 24), np.float32)) == 0
    singular = np.linalg.svd(wide - wide.mean(0), compute_uv=False)
    share = singular / singular.sum()
    assert effective_rank(wide) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-5)


def test_what_is_too_little_to_learn_from() -> None:
    died, validation = np.arange(400) % 2 == 0, np.arange(400) % 5 == 0
    assert can_learn(died, validation)
    assert not can_learn(np.zeros(400, bool), validation)
    assert not can_learn(died[:90], validation[:90])
    assert not can_learn(died, np.zeros(400, bool))


def test_category_means() -> None:
    notes = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    group = np.array([0, 0, 0, 0, 2, 2, 2, 3, 3])
    category = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0])
    means, present = category_means(notes, group, category, (4, 2))
    assert means.shape == (4, 2, 3)
    for g in range(4):
        for c in range(2):
            rows = notes[(group == g) & (category == c)]
            assert present[g, c] == bool(len(rows))
            np.testing.assert_allclose(means[g, c], rows.mean(0) if len(rows) else np.zeros(3), rtol=1e-5)


def test_an_absent_category_is_left_out_and_not_a_zero_that_pulls() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2, 3, 5)).astype(np.float32)
    means[1, 1] = 0
    weights = np.array([0.5, 0.3, 0.2], np.float32)
    pooled = pool(means, weights)
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, rtol=1e-6)
    alone = pool(means[1:, [0, 2]], weights[[0, 2]] / weights[[0, 2]].sum())
    np.testing.assert_allclose(pooled[1], alone[0], rtol=1e-6)
    maps = np.stack([weight * np.eye(5, dtype=np.float32) for weight in weights])
    np.testing.assert_allclose(pool(means, maps), pooled, atol=1e-6)


@pytest.mark.parametrize("kind", ["scalar", "map"])
def test_the_category_that_tells_who_died_counts_most(kind: str) -> None:
    rng = np.random.default_rng(5)
    n = 2_000
    died = rng.random(n) < 0.3
    means = rng.normal(size=(n, 3, 8)).astype(np.float32)
    means[:, 1, 0] += 3 * died
    means[rng.random((n, 3)) < 0.2] = 0
    weights = learn_weights(means, died, rng.random(n) < 0.2, kind, seed=0)
    if kind == "scalar":
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        assert weights.argmax() == 1
        assert weights[1] > 0.6
    else:
        assert weights.shape == (3, 8, 8)
        told = [np.linalg.norm(one[0]) for one in weights]  # of the direction that tells it
        assert np.argmax(told) == 1
