"""The encoders that are measured beside each other, by name."""

import re
from dataclasses import dataclass
from pathlib import Path

from cohorts.encoders.base import Encoder
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.harness.text_baselines import TfIdf

_NAMED = re.compile(r"([^:=/\\]+)=(.+)")


@dataclass(frozen=True)
class Contestant:
    """An encoder, what it is called, and how it was asked for. One that is trained already is taken as it is."""

    name: str
    encoder: Encoder | TfIdf
    trained: bool = False
    spec: str = ""


def tfidf_baseline() -> Contestant:
    """Return what every encoder has to beat."""
    return Contestant(TfIdf.name, TfIdf())


def parse_contestant(text: str) -> Contestant:
    """Read `[NAME=]SPEC` or `[NAME=]FOLDER`, as in `MiniLM=bert:/models/minilm`. Raises EncoderError."""
    named = None if Path(text).is_dir() else _NAMED.fullmatch(text)
    name, spec = named.groups() if named else (text, text)
    if Path(spec).is_dir():
        return Contestant(name, load_encoder(Path(spec)), trained=True, spec=spec)
    return Contestant(name, make_encoder(spec), spec=spec)
