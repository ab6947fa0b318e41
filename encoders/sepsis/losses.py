"""What training makes small: cross-entropy, weighted by the rarer outcome or not, and focal loss."""

from collections.abc import Callable

import torch
from cohorts.encoders.sepsis.settings import Settings
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import logsigmoid

Loss = Callable[[Tensor, Tensor], Tensor]


def focal_loss(logits: Tensor, died: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the mean of -a (1 - p)^gamma log p over n stays, where p is the probability of what happened.

    `a` is `alpha` for a death and 1 - alpha for a survival; `logits` and `died` (0 or 1) are (n,). With gamma 0 and
    alpha .5 it is half of the cross-entropy. Source: Lin et al. 2017, equation 5 (doi:10.1109/ICCV.2017.324).
    """
    signed = torch.where(died > 0.5, logits, -logits)
    weight = alpha * died + (1 - alpha) * (1 - died)
    missed = torch.sigmoid(-signed)  # 1 - p without the loss of digits near p = 1
    return (-weight * missed**gamma * logsigmoid(signed)).mean()


def make_loss(settings: Settings, share: float) -> Loss:
    """Return the loss of logits and outcomes, (n,) both; `share` of the training stays died.

    Weighted cross-entropy gives deaths and survivals the same weight in all.
    """
    if settings.loss == "focal":
        return lambda logits, died: focal_loss(logits, died, settings.alpha, settings.gamma)
    if settings.loss == "bce":
        return cross_entropy
    of_death, of_survival = 0.5 / share, 0.5 / (1 - share)
    return lambda logits, died: cross_entropy(logits, died, weight=of_death * died + of_survival * (1 - died))
