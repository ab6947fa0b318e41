"""What an encoder is to be made from, as an object: the name of its kind, its settings, what it sees of the records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cohorts.records.codes.concepts.applied import Maps
from cohorts.records.window import Window
from cohorts.records.withheld import Withheld


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder that is yet to be made and trained; `registry.make_encoder` makes it.

    `settings` maps names of settings to values; the kind's defaults stand for those left out. `asked` is how a user
    wrote it: it is shown, and compared when a run goes on, and never read again.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    withheld: Withheld | None = None
    window: Window | None = None
    maps: Maps | None = None
    asked: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the encoder in one line, for people."""
        withheld = "" if self.withheld is None else f" without {self.withheld}"
        mapped = "" if self.maps is None else f" by {self.maps}"
        window = "" if self.window is None else f" as of {self.window}"
        return f"{self.asked or self._written()}{mapped}{withheld}{window}"

    def _written(self) -> str:
        values = ",".join(f"{name}={_shown(value)}" for name, value in self.settings.items())
        return f"{self.name}:{values}" if values else self.name


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
