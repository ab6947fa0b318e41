"""The encoders that are measured beside each other, by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.encoders.base import Encoder, padding_of
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.saving import is_folder
from cohorts.encoders.training import Checked, TrainingIds
from cohorts.errors import InputError
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.records.base import Source
from cohorts.records.transforms import Subset

CENTRED = ", centred"  # behind the name: less the mean of what was learnt from
_NAMED = re.compile(r"([^:=/\\]+)=(.+)")


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder, what it is called, and how it was asked for. One that is trained already is taken as it is."""

    name: str
    encoder: Encoder | TfIdf
    trained: bool = False
    spec: str = ""

    def learn(self, source: Source, allowed: frozenset[str]) -> None:
        """Fit the encoder on the units of these ids, and on no others, unless it is trained already."""
        if not self.trained:
            self.encoder.fit(Checked(Subset(source, allowed), TrainingIds(allowed), self.name))

    def encode(self, source: Source) -> Any:
        """Return the vectors of all units, (n, dim), dense or sparse."""
        parts: list[Any] = [self.encoder.encode(batch) for batch in source.batches()]
        if hasattr(parts[0], "toarray"):
            from scipy.sparse import vstack

            return vstack(parts, format="csr")
        return np.concatenate(parts)

    @property
    def padding(self) -> int | None:
        """Return the place of the padding in its vectors, None where they have none."""
        return padding_of(self.encoder)


def check_names(contestants: Sequence[NamedEncoder]) -> None:
    """Raise InputError where two have one name."""
    names = [one.name for one in contestants]
    if len(set(names)) < len(names):
        raise InputError(f"Two encoders have one name ({', '.join(names)}): write NAME=ENCODER.")


def tfidf_baseline() -> NamedEncoder:
    """Return what every encoder has to beat."""
    return NamedEncoder(TfIdf.name, TfIdf())


def parse_contestant(text: str) -> NamedEncoder:
    """Read `[NAME=]SPEC` or `[NAME=]FOLDER`, as in `MiniLM=bert:/models/minilm`. Raises EncoderError."""
    named = None if is_folder(text) else _NAMED.fullmatch(text)
    name, spec = named.groups() if named else (text, text)
    if is_folder(spec):
        return NamedEncoder(name, load_encoder(Path(spec)), trained=True, spec=spec)
    return NamedEncoder(name, make_encoder(spec), spec=spec)
