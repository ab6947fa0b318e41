"""How a fusion is trained: on two inputs and what is known of each unit, a part of the patients held back."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.fused.inputs import Inputs
from cohorts.encoders.fused.settings import Settings
from cohorts.encoders.training import EarlyStopping, held_back, one_thread
from cohorts.errors import EncoderError
from cohorts.records.base import Batch
from cohorts.records.codes.phenotypes import load_phenotypes, phenotypes_of

if TYPE_CHECKING:
    from cohorts.encoders.fused.network import Fusion, Modalities
    from cohorts.encoders.fused.objectives import Targets
    from torch import Tensor

_BATCH = {"mortality": 32, "multitask": 32, "contrastive": 128}  # whose other patients are the negatives
_FEWEST = 5  # units that can be learnt from, and of either ending, on either side of the split
_JUDGED_AT_ONCE = 1_024

Rows = npt.NDArray[np.intp]


class FusionTrace(NamedTuple):
    """How training went, epoch by epoch; `validation_loss` has one more in front, from before the first."""

    units: int
    kept_epoch: int
    training_loss: list[float]
    validation_loss: list[float]


@dataclass(frozen=True)
class Known:
    """What is known of n units, nan where it is not: `died` and `stay_days` (n,), `phenotypes` (n, p) 0 or 1."""

    patients: list[str]
    died: npt.NDArray[np.float32]
    stay_days: npt.NDArray[np.float32]
    phenotypes: npt.NDArray[np.float32]

    @classmethod
    def of(cls, batch: Batch) -> "Known":
        """Read it from a batch. Where codes are withheld they are gone by now: their phenotypes nobody has."""
        units, names = batch.units, [one.name for one in load_phenotypes()]
        having = set(zip(batch.codes["unit_id"], phenotypes_of(batch.codes), strict=True))
        phenotypes = [[(unit, name) in having for name in names] for unit in units["unit_id"]]
        return cls(
            units["patient_id"].tolist(),
            units["died"].to_numpy(dtype=np.float32, na_value=np.nan),
            units["stay_days"].to_numpy(dtype=np.float32),
            np.array(phenotypes, np.float32).reshape(len(units), len(names)),
        )

    def take(self, rows: Rows) -> "Known":
        """Return what is known of the units at `rows`, (m,)."""
        patients = [self.patients[row] for row in rows.tolist()]
        return Known(patients, self.died[rows], self.stay_days[rows], self.phenotypes[rows])

    @classmethod
    def join(cls, parts: "list[Known]") -> "Known":
        """Return the units of several as one."""
        names = ("died", "stay_days", "phenotypes")
        arrays = (np.concatenate([getattr(one, name) for one in parts]) for name in names)
        return cls([patient for one in parts for patient in one.patients], *arrays)


def train_fusion(inputs: Inputs, known: Known, settings: Settings) -> "tuple[Fusion, FusionTrace]":
    """Train on n units; return the network as it was when it did best on the patients held back.

    Warns where the last epoch was the best one. Raises EncoderError where there is too little to learn from.
    """
    rows = np.flatnonzero(_usable(inputs, known, settings))
    held = held_back(known.patients, settings.seed)[rows]
    learnt, judged = rows[~held], rows[held]
    for side in (learnt, judged):
        _check_enough(known.died[side], settings)
    fusion, trace = _train(inputs, known, settings, learnt, judged)
    if trace.kept_epoch == settings.epochs:
        warnings.warn(
            f"fused:{settings.fusion},objective={settings.objective}: the loss on the patients held back was still "
            f"falling after {settings.epochs} epochs, the last allowed: more would do better. Raise epochs, or "
            f"rate, which is {settings.rate:g}.",
            stacklevel=2,
        )
    return fusion, trace


def _usable(inputs: Inputs, known: Known, settings: Settings) -> npt.NDArray[np.bool_]:
    """Return which units can be learnt from, (n,)."""
    text, records = inputs.has_text, inputs.has_records
    if settings.objective == "contrastive":
        return text & records
    there = {"text": text, "structured": records}.get(settings.fusion, text | records)
    return there & ~np.isnan(known.died) if settings.objective == "mortality" else there


def _check_enough(died: npt.NDArray[np.float32], settings: Settings) -> None:
    if settings.objective == "mortality":
        fewest, what = min((died == 1).sum(), (died == 0).sum()), "units that died, or that survived,"
    else:
        fewest, what = len(died), "units"
    if fewest < _FEWEST:
        raise EncoderError(
            f"fused:{settings.fusion},objective={settings.objective} finds {fewest} {what} with the notes and records "
            f"that it needs on one side of its split into training and validation; it needs {_FEWEST}. Use a larger "
            "source or another objective, or fused:text or fused:structured where records or notes are missing."
        )


@one_thread()
def _train(
    inputs: Inputs, known: Known, settings: Settings, learnt: Rows, judged: Rows
) -> "tuple[Fusion, FusionTrace]":
    import torch
    from cohorts.encoders.fused.network import Fusion
    from cohorts.encoders.fused.objectives import make_objective

    targets, rng = _targets(known, learnt), np.random.default_rng(settings.seed)
    sizes = inputs.text.shape[1], inputs.records.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        fusion = Fusion(settings.fusion, *sizes, settings.dim, settings.code_layer)
        objective = make_objective(settings.objective, settings.dim, known.phenotypes.shape[1])
    fusion.centre(torch.from_numpy(inputs.text[learnt][inputs.has_text[learnt]]), settings.centring)
    optimizer = torch.optim.Adam([*fusion.parameters(), *objective.parameters()], lr=settings.rate)
    watch, losses = EarlyStopping[dict[str, "Tensor"]](settings.patience), list[float]()
    many = _BATCH[settings.objective]

    def judge() -> bool:
        with torch.no_grad():
            parts = np.array_split(judged, -(-len(judged) // _JUDGED_AT_ONCE))
            found = [float(objective(fusion, *_batch(inputs, targets, part))) * len(part) for part in parts]
        state = {name: one.clone() for name, one in fusion.state_dict().items()}
        return watch.is_over(sum(found) / len(judged), state)

    over = judge()
    while not over and len(losses) < settings.epochs:
        order, total = rng.permutation(learnt), 0.0
        for part in np.array_split(order, -(-len(order) // many)):
            given, wanted = _batch(inputs, targets, part)
            optimizer.zero_grad()
            loss = objective(fusion, _hidden(given, settings, rng), wanted)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(part)
        losses.append(total / len(order))
        over = judge()
    assert watch.best is not None  # noqa: S101 - the first check keeps one
    fusion.load_state_dict(watch.best)
    return fusion.eval(), FusionTrace(len(learnt), watch.kept, losses, watch.losses)


def _batch(inputs: Inputs, targets: "Targets", rows: Rows) -> "tuple[Modalities, Targets]":
    import torch

    return inputs.tensors(rows), targets.take(torch.from_numpy(rows))


def _hidden(given: "Modalities", settings: Settings, rng: np.random.Generator) -> "Modalities":
    """Hide notes or codes of some units that have both. The contrastive loss hides them itself."""
    import torch

    if settings.objective == "contrastive" or settings.fusion in ("text", "structured"):
        return given
    draw = torch.from_numpy(rng.random(len(given.has_text)))
    both = given.has_text & given.has_records
    half = settings.dropout / 2
    return given.without(text=both & (draw < half), records=both & (draw >= half) & (draw < 2 * half))


def _targets(known: Known, learnt: Rows) -> "Targets":
    """Return what is to be told; the logarithm of the days is standardised by what is learnt from."""
    import torch
    from cohorts.encoders.fused.objectives import Targets

    stay = np.log1p(known.stay_days.clip(min=0))
    of_learnt = stay[learnt][~np.isnan(stay[learnt])]
    if len(of_learnt):
        stay = (stay - of_learnt.mean()) / max(float(of_learnt.std()), 1e-6)
    return Targets(*map(torch.from_numpy, (known.died, stay, known.phenotypes)))
