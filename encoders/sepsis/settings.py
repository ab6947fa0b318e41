"""How a model of sepsis prognosis is made and trained."""

from dataclasses import dataclass

from cohorts.encoders.sepsis.statics import ALL, check_groups
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.errors import EncoderError, LeakageError
from cohorts.records.sepsis.cohort import CODES, RULES, SEPSIS3
from cohorts.records.window import DISCHARGE, ENDINGS, Window, parse_window

STATIC, SERIES, NOTES = "static", "series", "notes"
BRANCHES = (STATIC, SERIES, NOTES)
LOSSES = ("focal", "bce", "weighted")
ONSET = "onset"  # a moment that is found, and stands in no table


@dataclass(frozen=True)
class Settings:
    """What enters is what is known by the end of `window`; `by` is the rule that says who is septic.

    `text` is the encoder of the notes; `branches` are joined by +, and so are `statics`, the groups of static columns.
    A step of the series is `step_h` hours, and they reach back `hours` from the window's end. `loss` is focal with
    `alpha`, the weight of deaths, and `gamma`; bce; or weighted, by the shares of the training stays. Each branch has
    `hidden` units, and the fused layer, which is the vector, `dim`. `l2` is the weight decay and `rate` that of Adam,
    which falls by 3 % an epoch. A column that more than `missing` of the training stays lack is left out, and at most
    `static_columns` and `series_columns` are taken. Of notes, the last `max_notes` are read.
    """

    text: str = "lsa"
    window: str = "icu+24h"
    by: str = SEPSIS3
    step_h: int = 1
    hours: int = 24
    statics: str = ALL
    branches: str = "+".join(BRANCHES)
    loss: str = "focal"
    alpha: float = 0.5
    gamma: float = 2.0
    hidden: int = 32
    dim: int = 64
    dropout: float = 0.3
    l2: float = 1e-4
    rate: float = 1e-3
    epochs: int = 60
    patience: int = 8
    batch: int = 64
    missing: float = 0.7
    static_columns: int = 48
    series_columns: int = 48
    max_notes: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("sepsis", self, by=RULES, loss=LOSSES)
        counts = ("step_h", "hours", "hidden", "dim", "epochs", "patience", "batch", "max_notes")
        at_least_one("sepsis", self, *counts, "static_columns", "series_columns")
        at_least_one("sepsis", self, "seed", least=0)
        if self.hours % self.step_h:
            raise EncoderError(
                f"sepsis step_h is {self.step_h}; it must divide hours, which is {self.hours}."
            )
        for name in ("alpha", "dropout", "missing"):
            if not 0 <= getattr(self, name) < 1:
                raise EncoderError(
                    f"sepsis {name} is {getattr(self, name)}; it is a share, at least 0 and below 1."
                )
        for name in ("gamma", "l2"):
            if not getattr(self, name) >= 0:
                raise EncoderError(f"sepsis {name} is {getattr(self, name)}; it must be at least 0.")
        if not self.rate > 0:
            raise EncoderError(f"sepsis rate is {self.rate}; it must be above 0.")
        if not self.chosen or not set(self.chosen) <= set(BRANCHES):
            raise EncoderError(
                f"sepsis branches is {self.branches!r}; join some of {', '.join(BRANCHES)} by +."
            )
        check_groups(self.statics)
        _check_ends_early(self.seen)
        if self.seen.end and self.seen.end.anchor == ONSET and self.by == CODES:
            raise EncoderError("Codes tell no onset of sepsis: take by=sepsis3, or a window as icu+24h.")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the branches, in their order."""
        return tuple(dict.fromkeys(part.strip() for part in self.branches.split("+") if part.strip()))

    @property
    def seen(self) -> Window:
        """Return the window. Raises InputError."""
        return parse_window(self.window)

    @property
    def steps(self) -> int:
        """Return how many steps the series have."""
        return self.hours // self.step_h

    @property
    def reads_notes(self) -> bool:
        """Tell whether notes enter."""
        return NOTES in self.chosen


def _check_ends_early(window: Window) -> None:
    """Raise LeakageError for a window that is told by the stay's end or has none, EncoderError for one with a start."""
    if window.end is None or window.end.anchor in (DISCHARGE, *ENDINGS):
        raise LeakageError(
            f"sepsis can't see the records up to {window}: that moment is known when the stay has ended, and with it "
            "who died. Take a moment of its beginning, as icu+24h or onset+12h."
        )
    if window.start is not None:
        raise EncoderError(
            f"sepsis takes the moment at which it predicts, as icu+24h; got {window}. How far back its series reach is "
            "set by hours."
        )
