"""The encoder `clinicalnotebert`: the published checkpoints of ClinicalNoteBERT by name, each read as it was trained.

It is `bert` with another choice of defaults. A checkpoint adapted by SimCSE tells of a sentence, a segment or a note by
its [CLS]; one that is not has learnt nothing there, and its tokens are averaged.

Source: github.com/JHLiu7/ClinicalNoteBERT, simcse_utils.py and encode_notes_bert.py (lengths of windows, [CLS]).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cohorts.encoders.base import EncoderKind
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.checkpoints import PRESETS, find_checkpoint
from cohorts.encoders.settings import one_of
from cohorts.errors import CheckpointNotFound, EncoderError, MissingExtra

PARAMETERS = {
    "base-note_only": "110M",
    "base-note_ntp": "110M",
    "base": "110M",
    "small": "67M",
    "tiny": "14.5M",
}
SIMCSE = ("sentence", "segment", "note")
NO_SIMCSE = "base-note_ntp"  # of which the authors published none
SUITS = {  # and by what the authors scored it; the scores stand in reports/published.py
    "none": "further training; published: fine-tuned on six data sets",
    "sentence": "likeness of sentences; published: ClinicalSTS",
    "segment": "retrieval of passages; published: retrieval for a language model",
    "note": "whole notes and patients; published: clinical prediction, fused with measurements",
}


@dataclass(frozen=True)
class Settings:
    """`simcse` is the variant; `pooling` and `level` are the variant's own where they are `auto`."""

    size: str = "base"
    simcse: str = "none"
    pooling: str = "auto"
    level: str = "auto"
    overlap: int = 64
    max_windows: int = 32
    precision: str = "auto"

    def __post_init__(self) -> None:
        one_of("clinicalnotebert", self, size=tuple(PARAMETERS), simcse=("none", *SIMCSE))
        if self.size == NO_SIMCSE and self.simcse != "none":
            raise EncoderError(
                f"clinicalnotebert:{self.size} was published without SimCSE: leave simcse out."
            )
        _ = self.bert

    @property
    def model(self) -> str:
        """Return the checkpoint's Hugging Face id."""
        variant = "" if self.simcse == "none" else f"-simcse_{self.simcse}"
        return f"jhliu/ClinicalNoteBERT-{self.size}{variant}"

    @property
    def bert(self) -> bert.Settings:
        """Return the settings of the text encoder that it is. Raises EncoderError."""
        raw = self.simcse == "none"
        return bert.Settings(
            model=self.model,
            pooling=("chunk-mean" if raw else "chunk-cls") if self.pooling == "auto" else self.pooling,
            level=("note" if raw else self.simcse) if self.level == "auto" else self.level,
            overlap=self.overlap,
            max_windows=self.max_windows,
            precision=self.precision,
        )


def make_clinicalnotebert(settings: Settings) -> bert.Bert:
    """Return the text encoder of these settings."""
    return bert.Bert(settings.bert)


def known_models() -> Iterator[Mapping[str, str]]:
    """Yield the text models that have a name here, and whether each is cached; the network is not tried.

    Where nothing is installed that reads them, none is.
    """
    for preset, hub_id in PRESETS.items():
        yield _row(
            f"bert:{preset}",
            hub_id,
            "110M",
            "notes, as the fusion paper takes it; published: not known here",
        )
    for simcse in ("none", *SIMCSE):
        for size, parameters in PARAMETERS.items():
            if size == NO_SIMCSE and simcse != "none":
                continue
            spec = f"clinicalnotebert:{size}" + ("" if simcse == "none" else f",simcse={simcse}")
            hub_id = Settings(size, simcse).model
            yield _row(spec, hub_id, parameters, SUITS[simcse])


def _row(spec: str, hub_id: str, parameters: str, suits: str) -> Mapping[str, str]:
    return {
        "spec": spec,
        "hub_id": hub_id,
        "parameters": parameters,
        "suits": suits,
        "cached": "yes" if _is_here(hub_id) else "no",
    }


def _is_here(hub_id: str) -> bool:
    try:
        find_checkpoint(hub_id)
    except (CheckpointNotFound, MissingExtra):
        return False
    return True


KIND = EncoderKind(settings=Settings, make=make_clinicalnotebert)  # saved as bert
