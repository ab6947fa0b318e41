"""What the trained parts of an encoder share: whom they may see, whom they hold back, and when they stop."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.errors import LeakageError
from cohorts.records.base import Batch, Source
from cohorts.records.transforms import View

if TYPE_CHECKING:
    import torch

VALIDATION_SHARE = 0.15  # of the training patients
CHECK_STEPS = 50
MAX_STEPS = 3_000
PATIENCE = 6

State = TypeVar("State")


class TrainingIds:
    """The units that may be learnt from; None is everybody, for a user who judges nothing with the result."""

    def __init__(self, ids: Set[str] | None) -> None:
        self._ids = ids

    def check(self, units: Iterable[str], part: str) -> None:
        """Raise LeakageError where any of `units` is not one of these."""
        if self._ids is None:
            return
        strangers = set(units) - self._ids
        if strangers:
            raise LeakageError(
                f"{len(strangers):,} units that are not of the training set reached the training of {part}. What was "
                "learnt from them would flatter every figure measured on them: nothing was trained."
            )


class Checked(View):
    """A source on its way into a trained part; `notes` are those that went that way."""

    def __init__(self, source: Source, training: TrainingIds, part: str) -> None:
        super().__init__(source)
        self._training, self._part = training, part
        self.notes = 0

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches. Raises LeakageError."""
        for batch in self._source.batches():
            self._training.check(batch.units["unit_id"], self._part)
            self.notes += len(batch.notes)
            yield batch


def held_back(patients: Iterable[str], seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows are for validation, (n,): patients are drawn, so that no patient stands on both sides."""
    names, rows = np.unique(np.asarray(list(patients), dtype=str), return_inverse=True)
    chosen = np.random.default_rng(seed).random(len(names)) < VALIDATION_SHARE
    return np.asarray(chosen[rows], dtype=np.bool_)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread: on matrices of some hundred rows, others cost more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class EarlyStopping(Generic[State]):
    """Keeps the state that does best on the validation patients, and says when it has not got better for long."""

    patience: int  # checks without a gain
    losses: list[float] = field(default_factory=list)
    best: State | None = None
    kept: int = 0  # the check at which `best` was

    def is_over(self, loss: float, state: State) -> bool:
        """Note a check's loss, keep the state where it is the best one, and tell whether to stop."""
        self.losses.append(loss)
        if self.best is None or loss < self.losses[self.kept] - 1e-5:
            self.best, self.kept = state, len(self.losses) - 1
        return len(self.losses) - 1 - self.kept >= self.patience


@one_thread()
def optimize(
    parameters: Sequence["torch.Tensor"],
    learning_rate: float,
    batch_loss: Callable[[], "torch.Tensor"],
    check: Callable[[], tuple["torch.Tensor", State]],
    max_steps: int = MAX_STEPS,
    patience: int = PATIENCE,
) -> tuple[State, EarlyStopping[State]]:
    """Lower the loss of one batch after the other, until `check`, every 50 steps, has shown no gain for long.

    `check` gives the loss on the validation patients and the state that had it. Returns the best state, and all checks.
    """
    import torch

    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    watch = EarlyStopping[State](patience)
    for step in range(max_steps + 1):
        if step % CHECK_STEPS == 0:
            with torch.no_grad():
                loss, state = check()
            if watch.is_over(float(loss), state):
                break
        optimizer.zero_grad()
        batch_loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert watch.best is not None  # noqa: S101 - the first check keeps one
    return watch.best, watch
