"""How logits become probabilities: learnt on stays held back in training, or on outcomes of another hospital.

It stands in a file of its own beside the encoder: no vector depends on it, and a site may set its own.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from cohorts.documents import read_json
from cohorts.encoders.saving import AGAIN
from cohorts.errors import EncoderError, InputError
from cohorts.measures.prediction.calibration import Recalibration, probability, recalibrate
from cohorts.private_files import write_private

FILE = "recalibration.json"
FEWEST = 20  # deaths, and survivors: two numbers are learnt
Origin = Literal["stays held back in training", "outcomes of this site"]


@dataclass(frozen=True)
class Calibrated:
    """A recalibration by `intercept` and `slope`, and the stays and deaths that it was learnt on."""

    intercept: float
    slope: float
    stays: int
    deaths: int
    origin: Origin

    def probabilities(self, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the probabilities of death, (n,), of logits, (n,)."""
        return probability(Recalibration(self.intercept, self.slope).apply(logits))


def learn(died: npt.NDArray[np.float64], logits: npt.NDArray[np.float64], origin: Origin) -> Calibrated:
    """Learn the recalibration of n stays; outcomes that are NaN teach nothing."""
    known = ~np.isnan(died)
    died, logits = died[known], logits[known]
    return Calibrated(*recalibrate(died, logits), len(died), int(died.sum()), origin)


def check_enough(died: npt.NDArray[np.float64]) -> None:
    """Raise InputError where outcomes are too few to set two numbers by."""
    deaths, survivors = int((died == 1).sum()), int((died == 0).sum())
    if min(deaths, survivors) < FEWEST:
        raise InputError(
            f"The outcomes hold {deaths:,} deaths and {survivors:,} survivors among the stays of which a risk is told; "
            f"a recalibration needs {FEWEST} of either."
        )


def write(folder: Path, made: Calibrated) -> None:
    """Write it beside the encoder in `folder`."""
    write_private(folder / FILE, json.dumps(asdict(made), indent=1))


def read(folder: Path) -> Calibrated:
    """Return what `write` wrote. Raises EncoderError."""
    made = read_json(folder / FILE, Calibrated, error=EncoderError, remedy=AGAIN)
    if not np.isfinite([made.intercept, made.slope]).all():
        raise EncoderError(f"{folder / FILE} holds what is no finite number. {AGAIN}")
    return made
