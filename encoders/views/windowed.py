"""Any encoder, of what lies in a window of the records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from cohorts.documents import read_json
from cohorts.encoders.base import Encoder
from cohorts.encoders.saving import AGAIN
from cohorts.encoders.views.wrapped import Wrapped
from cohorts.errors import EncoderError
from cohorts.private_files import write_private
from cohorts.records.base import Batch, Source
from cohorts.records.window import WHOLE_STAY, AsOf, Window, parse_window

FILE = "as_of.json"


class Windowed(Wrapped):
    """Any encoder, in training and in encoding, of what lies in a window; a text to ask by is read as it is."""

    def __init__(self, encoder: Encoder, window: Window) -> None:
        super().__init__(encoder)
        self.window = window
        self._lacking = 0

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames that the encoder or the window looks at."""
        return super().reads | self.window.reads

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the encoder's own, and of how many units nothing is known, for they have not the window's times."""
        return {**super().counts, f"units without the times of {self.window}": self._lacking}

    def source(self, source: Source) -> Source:
        """Return the source in the window."""
        return AsOf(source, self.window)

    def batch(self, batch: Batch) -> Batch:
        """Return the batch in the window, and count the units that have not its times."""
        known, lacking = self.window.cut(batch)
        self._lacking += lacking
        return known

    def keep(self, folder: Path) -> None:
        """Write `as_of.json` beside the encoder that lies in a folder."""
        write_private(folder / FILE, json.dumps(self.facts, indent=1))

    @property
    def facts(self) -> Mapping[str, str]:
        """Return the window."""
        return {"as_of": str(self.window)}


class _Facts(NamedTuple):
    """What `as_of.json` holds."""

    as_of: str


def restore_window(folder: Path) -> Window | None:
    """Return the window of the encoder in a folder. Raises EncoderError where `as_of.json` can't be read."""
    if not (folder / FILE).exists():
        return None
    return parse_window(read_json(folder / FILE, _Facts, error=EncoderError, remedy=AGAIN).as_of)


@runtime_checkable
class SeesWindow(Protocol):
    """An encoder that sees what lies in a window, by being wrapped or by itself."""

    @property
    def window(self) -> Window:
        """Return the window."""
        ...


def as_of(encoder: object) -> str:
    """Return the window whose records an encoder sees, as it is written; `whole stay` without one."""
    while isinstance(encoder, Wrapped) and not isinstance(encoder, SeesWindow):
        encoder = encoder.encoder
    return str(encoder.window) if isinstance(encoder, SeesWindow) else WHOLE_STAY
