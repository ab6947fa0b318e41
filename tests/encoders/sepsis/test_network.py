"""The network of sepsis prognosis against plain numpy: cells of a BiLSTM, what padding may touch, losses, gradients."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from cohorts.encoders.sepsis.losses import focal_loss, make_loss
from cohorts.encoders.sepsis.network import Prognosis, Sequences, Sizes, Tensors
from cohorts.encoders.sepsis.settings import BRANCHES, Settings

Array = npt.NDArray[np.float64]
HIDDEN, WIDTH = 3, 4


def sigmoid(values: Array) -> Array:
    made: Array = 1 / (1 + np.exp(-values))
    return made


def lstm(steps: Array, weights: dict[str, Array], suffix: str) -> Array:
    """Return the last state of an LSTM over steps (t, width): equations 4 to 8 of the paper, gates in torch's order."""
    state, cell = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for step in steps:
        gates = (
            weights[f"weight_ih_l0{suffix}"] @ step
            + weights[f"bias_ih_l0{suffix}"]
            + weights[f"weight_hh_l0{suffix}"] @ state
            + weights[f"bias_hh_l0{suffix}"]
        )
        let_in, forget, new, out = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(let_in) * np.tanh(new)
        state = sigmoid(out) * np.tanh(cell)
    return state


@pytest.fixture
def sequences() -> Sequences:
    torch.manual_seed(3)
    made = Sequences(WIDTH, HIDDEN).double()
    with torch.no_grad():
        made.none.copy_(torch.arange(2.0 * HIDDEN))
    return made


def test_a_bilstm_is_what_the_equations_say(sequences: Sequences) -> None:
    rng = np.random.default_rng(0)
    values, lengths = rng.normal(size=(5, 6, WIDTH)), np.array([6, 1, 0, 4, 6])
    found = sequences(torch.from_numpy(values), torch.from_numpy(lengths)).detach().numpy()
    weights = {name: one.detach().numpy() for name, one in sequences.lstm.named_parameters()}
    for row, length in enumerate(lengths.tolist()):
        steps = values[row, :length]
        there = np.concatenate([lstm(steps, weights, ""), lstm(steps[::-1], weights, "_reverse")])
        np.testing.assert_allclose(found[row], there if length else np.arange(2.0 * HIDDEN), rtol=1e-10)


def test_what_lies_behind_the_end_is_never_read(sequences: Sequences) -> None:
    rng = np.random.default_rng(1)
    values, lengths = torch.from_numpy(rng.normal(size=(4, 5, WIDTH))), torch.tensor([5, 2, 3, 0])
    other = values.clone()
    for row, length in enumerate(lengths.tolist()):
        other[row, length:] = 1e6
    assert torch.equal(sequences(values, lengths), sequences(other, lengths))
    values.requires_grad_()
    sequences(values, lengths).sum().backward()
    assert values.grad is not None
    for row, length in enumerate(lengths.tolist()):
        assert not values.grad[row, length:].any()
        assert values.grad[row, :length].any() == (length > 0)


def loss_of(logits: Array, died: Array, alpha: float, gamma: float) -> float:
    """Return the focal loss as the paper's equation 10 writes it."""
    risk = sigmoid(logits)
    true = np.where(died == 1, risk, 1 - risk)
    weight = np.where(died == 1, alpha, 1 - alpha)
    return float(np.mean(-weight * (1 - true) ** gamma * np.log(true)))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.5, 0.0), (0.25, 2.0), (0.75, 1.0), (0.9, 5.0)])
def test_focal_loss_and_its_gradient_are_those_of_numpy(alpha: float, gamma: float) -> None:
    rng = np.random.default_rng(2)
    values, died = rng.normal(0, 3, 40), (rng.random(40) < 0.3).astype(np.float64)
    logits = torch.from_numpy(values).requires_grad_()
    found = focal_loss(logits, torch.from_numpy(died), alpha, gamma)
    found.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == pytest.approx(loss_of(values, died, alpha, gamma), rel=1e-10)
    assert logits.grad is not None
    for place in range(len(values)):
        near = np.zeros(len(values))
        near[place] = 1e-5
        slope = (
            loss_of(values + near, died, alpha, gamma) - loss_of(values - near, died, alpha, gamma)
        ) / 2e-5
        assert float(logits.grad[place]) == pytest.approx(slope, abs=1e-8)


def test_focal_loss_is_finite_where_the_model_is_sure_and_wrong() -> None:
    logits = torch.tensor([80.0, -80.0, 800.0], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0.0, 1.0, 1.0]), 0.5, 2.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx((40 + 40 + 0) / 3)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_cross_entropies_are_those_of_numpy() -> None:
    values, died = np.array([2.0, -1.0, 0.5, -3.0]), np.array([1.0, 0.0, 0.0, 0.0])
    each = -np.log(np.where(died == 1, sigmoid(values), 1 - sigmoid(values)))
    given = torch.from_numpy(values), torch.from_numpy(died)
    assert float(make_loss(Settings(loss="bce"), 0.25)(*given)) == pytest.approx(each.mean())
    weighted = (each * np.where(died == 1, 2, 2 / 3)).mean()
    assert float(make_loss(Settings(loss="weighted"), 0.25)(*given)) == pytest.approx(weighted)


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_that_is_left_out_is_not_read(branch: str) -> None:
    torch.manual_seed(0)
    network = Prognosis([one for one in BRANCHES if one != branch], Sizes(3, 4, 5), 2, 6, 0.5).eval()
    given = Tensors(
        torch.randn(7, 3),
        torch.randn(7, 6, 4),
        torch.full((7,), 6),
        torch.randn(7, 2, 5),
        torch.full((7,), 2),
    )
    other = given._replace(**{branch: getattr(given, branch) + 5})
    assert torch.equal(network(given), network(other))
    for kept in network.branches:
        assert not torch.equal(network(given), network(given._replace(**{kept: getattr(given, kept) + 5})))
    assert network.fused(given).shape == (7, 6)
