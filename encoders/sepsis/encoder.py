"""The encoder `sepsis`: a septic stay as of a moment, as the layer that the risk of death in hospital is read from.

Source: the sepsis prognosis paper. docs/sepsis.md says where it is silent or wrong, what was chosen, and what was
measured.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cohorts.encoders.base import Encoder, EncoderKind, Explanation, Vectors, checkpoints_of
from cohorts.encoders.base import check_ready as check_encoder_ready
from cohorts.encoders.needs import frames_read
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.saving import (
    ABOUT,
    AGAIN,
    TENSORS,
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.sepsis import recalibration
from cohorts.encoders.sepsis.dealing import three_sides
from cohorts.encoders.sepsis.preparation import Preparation, restored, text_encoder
from cohorts.encoders.sepsis.reasons import turns
from cohorts.encoders.sepsis.recalibration import Calibrated
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.stays import Stays, read_stays, stays_of
from cohorts.encoders.sepsis.training import Trace, Trained, train_network
from cohorts.encoders.training import Checked, TrainingIds
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Source
from cohorts.records.transforms import Subset
from cohorts.records.window import Window

_TEXT = "text"  # the folder of the text encoder, which is an encoder of its own


@dataclass(frozen=True)
class Model:
    """What is learnt: how stays become inputs, the network, and how its logits become probabilities.

    `synthetic` says that the stays learnt from were invented.
    """

    preparation: Preparation
    trained: Trained
    calibrated: Calibrated
    synthetic: bool = False


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["sepsis"]
    fingerprint: str
    settings: Settings
    columns: dict[str, Any]
    sizes: list[int]
    synthetic: bool
    epochs: Trace


class Sepsis:
    """The encoder `sepsis`. A unit that is not septic at the window's end is a row of zeros, and counted with why."""

    name = "sepsis"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.dim = self.settings.dim
        self._model: Model | None = None
        self._text: Encoder | None = None
        self._left_out: Counter[str] = Counter()

    @property
    def window(self) -> Window:
        """Return the window whose records it sees."""
        return self.settings.seen

    @property
    def population(self) -> str:
        """Return who has a vector."""
        return f"septic stays by {self.settings.by}, as of {self.window}"

    @property
    def model(self) -> Model:
        """Return what is learnt. Raises EncoderError before `fit`."""
        if self._model is None:
            raise EncoderError("This sepsis encoder is not trained yet: call fit, or load a saved one.")
        return self._model

    @property
    def text(self) -> Encoder | None:
        """Return the encoder of the notes, None where they don't enter."""
        if self._model is not None:
            return self._model.preparation.text
        if self._text is None and self.settings.reads_notes:
            self._text = text_encoder(self.settings)
        return self._text

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return the checkpoints of its text encoder."""
        return checkpoints_of(self.text)

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where its text encoder could not encode."""
        check_encoder_ready(self.text)

    @property
    def uses_transformer(self) -> bool:
        """Return whether its text encoder is one."""
        return self.text is not None and self.text.uses_transformer

    @property
    def needs_notes(self) -> bool:
        """Return whether notes alone are read; a stay without any has series and static data."""
        return self.settings.chosen == ("notes",)

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames of a batch that it looks at: who is septic is found in measurements and events."""
        notes = frames_read(self.text) & {"notes"} if self.text is not None else frozenset()
        return frozenset({"measurements", "events"}) | notes

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many units are no septic stays at the window's end, by reason."""
        return {f"units left out: {why}": many for why, many in self._left_out.items()}

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, columns, text encoder and weights (hex). Raises EncoderError before `fit`.

        The recalibration, which changes no vector, is not in it.
        """
        model = self.model
        text = model.preparation.text
        facts = {
            "settings": asdict(self.settings),
            "columns": model.preparation.facts(),
            "text": text.fingerprint if text else "",
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + b"\0" + tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source, training: Set[str] | None = None) -> Self:
        """Train on the septic stays among the units in `training`, among all where None. Same source, same weights.

        Raises EncoderError where there is too little to learn from, LeakageError where others reach the training.
        """
        checked = Checked(
            source if training is None else Subset(source, training), TrainingIds(training), "sepsis"
        )
        stays = read_stays(checked, self.settings)
        model = fit_model(stays, self.settings)
        self._model = replace(model, synthetic=source.synthetic)
        self._left_out.clear()
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; zeros for a unit that is not septic at the window's end."""
        return self._encoded(batch, stays_of(batch, self.settings))

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and why (`turns`); none of who is left out."""
        model, stays = self.model, stays_of(batch, self.settings)
        reasons = turns(model.trained, model.preparation, stays)
        told, none = dict(zip(stays.ids.tolist(), reasons, strict=True)), Explanation(0.0, ())
        return self._encoded(batch, stays), [told.get(unit, none) for unit in batch.units["unit_id"].tolist()]

    def _encoded(self, batch: Batch, stays: Stays) -> Vectors:
        model, made = self.model, np.zeros((len(batch), self.dim), np.float32)
        self._left_out += stays.left_out
        if len(stays):
            rows = batch.units["unit_id"].isin(stays.ids.tolist()).to_numpy(dtype=bool)
            made[rows] = unit_rows(model.trained.vectors(model.preparation.inputs(stays)))
        return made

    def encode_text(self, texts: Sequence[str]) -> Vectors:  # noqa: ARG002 - of the seam
        """Raise NoText: a text is no septic stay."""
        raise NoText("sepsis knows no text.", remedy="Query by patient.", hint="query_patient")

    def describe(self) -> Mapping[str, Any]:
        """Return settings, columns, and how training went."""
        model = self.model
        return {
            **identity_of(self),
            "dim": self.dim,
            "as_of": str(self.window),
            "synthetic": model.synthetic,
            **model.preparation.facts(),
            "epochs": model.trained.trace._asdict(),
            "recalibration": asdict(model.calibrated),
        }

    def recalibrate(self, calibrated: Calibrated) -> None:
        """Let logits become probabilities in another way; vectors and fingerprint stay. Raises EncoderError."""
        self._model = replace(self.model, calibrated=calibrated)

    def save(self, folder: Path) -> None:
        """Write `encoder.json`, the tensors, the recalibration, and the text encoder into a folder of its own."""
        model = self.model
        write_about(
            folder,
            {
                **identity_of(self),
                "columns": model.preparation.facts(),
                "sizes": list(model.trained.network.sizes),
                "synthetic": model.synthetic,
                "epochs": model.trained.trace._asdict(),
            },
        )
        write_tensors(folder, self._tensors())
        recalibration.write(folder, model.calibrated)
        if model.preparation.text is not None:
            model.preparation.text.save(folder / _TEXT)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed."""
        about = read_about(folder, _About)
        encoder = cls(about.settings)
        encoder._model = _model(folder, about)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    def _tensors(self) -> dict[str, Any]:
        network = self.model.trained.network.state_dict()
        return {f"network/{name}": one.numpy() for name, one in network.items()} | {
            f"columns/{name}": one for name, one in self.model.preparation.tensors().items()
        }


def fit_model(stays: Stays, settings: Settings) -> Model:
    """Learn columns and weights from most stays, stop by some, and recalibrate by others: see `three_sides`.

    On those who stop the training a network does better than on anybody else.
    """
    died = np.nan_to_num(stays.died)  # where it is not told, it teaches nothing
    learn, stop, held = three_sides(stays.patients, died, np.random.default_rng(settings.seed))
    preparation = Preparation.learn(stays, learn, settings)
    inputs = preparation.inputs(stays)
    trained = train_network(inputs, stays.died, learn, stop, settings)
    logits = trained.logits(inputs.take(held))
    return Model(
        preparation, trained, recalibration.learn(stays.died[held], logits, "stays held back in training")
    )


def _model(folder: Path, about: _About) -> Model:
    """Return the model that `save` wrote. Raises EncoderError for one that is incomplete, or whose parts don't fit."""
    import torch
    from cohorts.encoders.registry import load_encoder
    from cohorts.encoders.sepsis.network import Prognosis, Sizes

    named: dict[str, dict[str, Any]] = {"network": {}, "columns": {}}
    for key, tensor in read_tensors(folder).items():
        part, _, name = key.partition("/")
        named.setdefault(part, {})[name] = tensor
    settings = about.settings
    text = load_encoder(folder / _TEXT) if settings.reads_notes else None
    try:
        preparation = restored(settings, about.columns, named["columns"], text)
        with torch.device("meta"):  # takes no memory, whatever sizes the file says
            network = Prognosis(
                settings.chosen, Sizes(*about.sizes), settings.hidden, settings.dim, settings.dropout
            )
        weights = {name: torch.from_numpy(one) for name, one in named["network"].items()}
        network.load_state_dict(weights, assign=True)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EncoderError(
            f"{folder / TENSORS} holds the weights of another network than {folder / ABOUT} says. {AGAIN}"
        ) from error
    trained = Trained(network.eval(), about.epochs)
    return Model(preparation, trained, recalibration.read(folder), about.synthetic)


KIND = EncoderKind(settings=Settings, make=Sepsis, load=Sepsis.load)
