"""How a fusion of notes and records is made and trained."""

from dataclasses import dataclass

from cohorts.encoders import bert
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.errors import EncoderError

FUSIONS = ("gated", "concat", "text", "structured", "attention")
OBJECTIVES = ("mortality", "multitask", "contrastive")
RATES = {"fast": 1e-3, "paper": 2e-5}  # Adam's
HEADS = 4  # of the attention


@dataclass(frozen=True)
class Settings:
    """`model` to `precision` are those of bert; `preset` is the rate of learning, a fast one or the paper's.

    A code or laboratory item is a column where `min_units` training units have it; values count within `lab_hours` of
    admission, not at all at 0. `dropout` is the chance that notes or records of a unit are hidden while training.
    """

    fusion: str = "gated"
    model: str = "clinicalbert"
    pooling: str = "auto"
    overlap: int = 64
    max_windows: int = 32
    precision: str = "auto"
    objective: str = "mortality"
    preset: str = "fast"
    dim: int = 256
    epochs: int = 20
    patience: int = 3
    dropout: float = 0.3
    min_units: int = 5
    lab_hours: float = 24.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("fused", self, fusion=FUSIONS, objective=OBJECTIVES, preset=tuple(RATES))
        at_least_one("fused", self, "dim", "epochs", "patience", "min_units")
        if not 0 <= self.dropout <= 1:
            raise EncoderError(f"fused dropout is {self.dropout}; it is a share, from 0 to 1.")
        if not self.lab_hours >= 0:
            raise EncoderError(f"fused lab_hours is {self.lab_hours}; it must be at least 0.")
        if self.objective == "contrastive" and not (self.reads_text and self.reads_records):
            raise EncoderError(
                f"fused:{self.fusion} can't be contrastive, which draws notes and records together."
            )
        if self.fusion == "attention" and self.dim % HEADS:
            raise EncoderError(f"fused dim is {self.dim}; for attention it must be a multiple of {HEADS}.")
        _ = self.bert

    @property
    def bert(self) -> bert.Settings:
        """Return the settings of the text encoder. Raises EncoderError."""
        names = ("model", "pooling", "overlap", "max_windows", "precision")
        return bert.Settings(**{name: getattr(self, name) for name in names})

    @property
    def reads_text(self) -> bool:
        """Tell whether notes enter."""
        return self.fusion != "structured"

    @property
    def reads_records(self) -> bool:
        """Tell whether codes and laboratory values enter."""
        return self.fusion != "text"
