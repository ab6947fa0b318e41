"""How a fusion of notes and records is made and trained."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cohorts.encoders.bert import clinicalnotebert
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.features.codes import COLUMNS
from cohorts.encoders.saving import is_folder
from cohorts.encoders.settings import at_least_one, one_of, read_settings
from cohorts.errors import EncoderError

FUSIONS = ("gated", "concat", "text", "structured", "attention")
OBJECTIVES = ("mortality", "multitask", "contrastive")
CENTRINGS = ("mean", "none")
CODE_LAYERS = ("relu", "embedding")
HEADS = 4  # of the attention
PRESETS: Mapping[str, Mapping[str, Any]] = {  # what a setting is that is not given
    "fast": {
        "pooling": "auto",
        "cleaning": "cased",
        "centring": "mean",
        "codes": "groups",
        "code_layer": "relu",
        "min_units": 5,
        "lab_hours": 24.0,
        "dropout": 0.3,
        "rate": 1e-3,
    },
    "paper": {  # sections 3.1, 3.2 and 4.3
        "pooling": "cls-truncate",
        "cleaning": "normalized",
        "centring": "none",
        "codes": "each",
        "code_layer": "embedding",
        "min_units": 1,
        "lab_hours": 0.0,
        "dropout": 0.0,
        "rate": 2e-5,
    },
}
_TEXT_ENCODERS: Mapping[str, Callable[[str], bert.Settings]] = {
    "bert": lambda text: read_settings(bert.Settings, text),
    "clinicalnotebert": lambda text: read_settings(clinicalnotebert.Settings, text).bert,
}
_OF_PRESET: Any = None
_ONCE_FIXED = ("cleaning", "centring", "codes", "code_layer")  # as in `fast`, whatever the preset


@dataclass(frozen=True)
class Settings:
    """`model` to `precision`, and `cleaning`, are those of bert; `preset` says what is not given: see PRESETS.

    `centring` is what is taken off the notes' vectors, `codes` what has a column, `code_layer` what follows the linear
    map of the columns, and `rate` Adam's. `objective`, where it is not given, is contrastive; with preset=paper, and
    for a fusion that reads notes or records alone, mortality. A code or laboratory item is a column where `min_units`
    training units have it; values count within `lab_hours` of admission, not at all at 0. `dropout` is the chance that
    notes or records of a unit are hidden while training.
    """

    fusion: str = "gated"
    model: str = "clinicalbert"
    pooling: str = _OF_PRESET
    overlap: int = 64
    max_windows: int = 32
    precision: str = "auto"
    objective: str = _OF_PRESET
    preset: str = "fast"
    cleaning: str = _OF_PRESET
    centring: str = _OF_PRESET
    codes: str = _OF_PRESET
    code_layer: str = _OF_PRESET
    rate: float = _OF_PRESET
    dim: int = 256
    epochs: int = 20
    patience: int = 3
    dropout: float = _OF_PRESET
    min_units: int = _OF_PRESET
    lab_hours: float = _OF_PRESET
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("fused", self, fusion=FUSIONS, preset=tuple(PRESETS))
        for name, value in {**PRESETS[self.preset], "objective": self._usual_objective}.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        one_of("fused", self, objective=OBJECTIVES, codes=COLUMNS, centring=CENTRINGS, code_layer=CODE_LAYERS)
        at_least_one("fused", self, "dim", "epochs", "patience", "min_units")
        if not 0 <= self.dropout <= 1:
            raise EncoderError(f"fused dropout is {self.dropout}; it is a share, from 0 to 1.")
        if not self.rate > 0:
            raise EncoderError(f"fused rate is {self.rate}; it must be above 0.")
        if not self.lab_hours >= 0:
            raise EncoderError(f"fused lab_hours is {self.lab_hours}; it must be at least 0.")
        if self.objective == "contrastive" and not self._reads_both:
            raise EncoderError(
                f"fused:{self.fusion} can't be contrastive, which draws notes and records together."
            )
        if self.fusion == "attention" and self.dim % HEADS:
            raise EncoderError(f"fused dim is {self.dim}; for attention it must be a multiple of {HEADS}.")
        _ = self.bert

    @property
    def bert(self) -> bert.Settings:
        """Return the settings of the text encoder, which `model` may name with its own. Raises EncoderError."""
        names = ("overlap", "max_windows", "precision", "cleaning")
        given = {name: getattr(self, name) for name in names}
        encoder, _, settings = self.model.partition(":")
        if encoder not in _TEXT_ENCODERS or is_folder(self.model):
            return bert.Settings(model=self.model, pooling=self.pooling, **given)
        named = _TEXT_ENCODERS[encoder](settings)
        return replace(named, pooling=named.pooling if self.pooling == "auto" else self.pooling, **given)

    @property
    def reads_text(self) -> bool:
        """Tell whether notes enter."""
        return self.fusion != "structured"

    @property
    def reads_records(self) -> bool:
        """Tell whether codes and laboratory values enter."""
        return self.fusion != "text"

    @property
    def _reads_both(self) -> bool:
        return self.reads_text and self.reads_records

    @property
    def _usual_objective(self) -> str:
        return "contrastive" if self._reads_both and self.preset == "fast" else "mortality"


def of_earlier_version(settings: Settings) -> Settings:
    """Return the settings of an encoder that was saved when a preset was the rate alone, all others being fixed."""
    once = {name: PRESETS["fast"][name] for name in _ONCE_FIXED}
    return replace(settings, **once, rate=PRESETS[settings.preset]["rate"])


def identity(settings: Settings) -> dict[str, Any]:
    """Return what a fingerprint depends on: what was encoded by an earlier version stays what it is."""
    told = asdict(settings)
    if settings == of_earlier_version(settings):
        for name in (*_ONCE_FIXED, "rate"):
            del told[name]
    return told
