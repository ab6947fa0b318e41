"""How the network is trained: Adam with a falling rate, stopped early by stays of patients that were held back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.sepsis.dealing import FEWEST
from cohorts.encoders.sepsis.inputs import Inputs, Rows
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.training import EarlyStopping, one_thread
from cohorts.errors import EncoderError

if TYPE_CHECKING:
    from cohorts.encoders.sepsis.network import Prognosis
    from torch import Tensor

FALL = 0.97  # what is left of the rate after an epoch
LONGEST_GRADIENT = 1.0  # LSTMs have steep places
_AT_ONCE = 1_024  # stays

Known = npt.NDArray[np.float64]


class Trace(NamedTuple):
    """Training stays, the epoch kept, and the losses of every epoch: of training, and of those held back from 0 on."""

    stays: int
    kept_epoch: int
    training_loss: list[float]
    validation_loss: list[float]


@dataclass(frozen=True)
class Trained:
    """A network as it was when it did best on those held back, and how training went."""

    network: "Prognosis"
    trace: Trace

    def fused(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Return the fused layer of n stays, (n, dim) float32."""
        import torch

        made = [np.zeros((0, self.network.fused_mean.shape[0]), np.float32)]
        with torch.inference_mode():
            made += [self.network.fused(inputs.tensors(rows)).numpy() for rows in inputs.parts(_AT_ONCE)]
        return np.concatenate(made)

    def logits(self, inputs: Inputs) -> Known:
        """Return the logits of death in hospital, (n,)."""
        import torch

        with torch.inference_mode():
            return self.network.logits(torch.from_numpy(self.fused(inputs))).double().numpy()

    def vectors(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Return the fused layers less what training stays have in common, (n, dim) float32 of any length."""
        import torch

        with torch.inference_mode():
            return self.network.vectors(torch.from_numpy(self.fused(inputs))).numpy()


@one_thread()
def train_network(inputs: Inputs, died: Known, learn: Rows, held: Rows, settings: Settings) -> Trained:
    """Train on the stays at `learn`, stop by those at `held`; `died` (n,) is 0, 1, or NaN, which teaches nothing.

    Same inputs, same network, bit by bit. Raises EncoderError where there is too little to learn from.
    """
    import torch
    from cohorts.encoders.sepsis.losses import make_loss
    from cohorts.encoders.sepsis.network import Prognosis, Sizes

    learn, held = (rows[~np.isnan(died[rows])] for rows in (learn, held))
    _check_enough(died[learn], died[held])
    sizes = Sizes(inputs.static.shape[1], inputs.series.shape[2], inputs.notes.shape[2])
    rng, outcome = np.random.default_rng(settings.seed), torch.from_numpy(died.astype(np.float32))
    loss_of = make_loss(settings, float(died[learn].mean()))
    watch, losses = EarlyStopping[dict[str, "Tensor"]](settings.patience), list[float]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Prognosis(settings.chosen, sizes, settings.hidden, settings.dim, settings.dropout)
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.rate, weight_decay=settings.l2)
        falling = torch.optim.lr_scheduler.ExponentialLR(optimizer, FALL)

        def judge() -> bool:
            network.eval()
            with torch.no_grad():
                parts = np.array_split(held, -(-len(held) // _AT_ONCE))
                logits = torch.cat([network(inputs.tensors(part)) for part in parts])
                state = {name: one.clone() for name, one in network.state_dict().items()}
                return watch.is_over(float(loss_of(logits, outcome[held])), state)

        over = judge()
        while not over and len(losses) < settings.epochs:
            network.train()
            order, total = rng.permutation(learn), 0.0
            for part in np.array_split(order, -(-len(order) // settings.batch)):
                optimizer.zero_grad()
                loss = loss_of(network(inputs.tensors(part)), outcome[part])
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
                optimizer.step()
                total += float(loss.detach()) * len(part)
            falling.step()
            losses.append(total / len(order))
            over = judge()
    assert watch.best is not None  # noqa: S101 - the first check keeps one
    network.load_state_dict(watch.best)
    trained = Trained(network.eval(), Trace(len(learn), watch.kept, losses, watch.losses))
    network.fused_mean.copy_(torch.from_numpy(trained.fused(inputs.take(learn)).mean(axis=0)))
    return trained


def _check_enough(learnt: Known, judged: Known) -> None:
    """Raise EncoderError where either side has too few deaths or survivors."""
    for died, what in ((learnt, "to learn from"), (judged, "that it held back to know when to stop")):
        deaths, survivors = int((died == 1).sum()), int((died == 0).sum())
        if min(deaths, survivors) < FEWEST:
            raise EncoderError(
                f"sepsis finds {len(died):,} septic stays {what}, {deaths} with a death and {survivors} without; it "
                f"needs {FEWEST} of either. Use a larger source."
            )
