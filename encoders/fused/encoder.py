"""The encoder `fused`: notes through a BERT-like checkpoint, and structured records, fused into one vector.

Source: the gated fusion for cohort discovery. docs/fused.md says where the paper is silent or wrong, what was chosen,
and what was measured.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import EncoderKind, Explanation, Vectors
from cohorts.encoders.bert.encoder import Bert, pool_notes
from cohorts.encoders.fused.explain import categories_of, explain
from cohorts.encoders.fused.inputs import Inputs, RecordFacts, RecordFeatures
from cohorts.encoders.fused.settings import Settings, identity, of_earlier_version
from cohorts.encoders.fused.training import FusionTrace, Known, train_fusion
from cohorts.encoders.needs import check_notes
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
from cohorts.encoders.training import Checked, TrainingIds
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Source
from cohorts.records.transforms import Subset

if TYPE_CHECKING:
    from cohorts.encoders.fused.network import Fusion

_TEXT = "text"  # the folder of the text encoder, which is an encoder of its own
_AT_ONCE = 1_024  # units


@dataclass(frozen=True)
class Parts:
    """What is learnt: the network, how its training went, and the columns of records, where they enter."""

    fusion: "Fusion"
    trace: FusionTrace
    features: RecordFeatures | None


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["fused"]
    fingerprint: str
    settings: Settings
    features: RecordFacts | None
    epochs: FusionTrace


class Fused:
    """The encoder `fused`. A unit that lacks notes or records is encoded by what it has, and counted."""

    name = "fused"

    def __init__(self, settings: Settings | None = None, text: Bert | None = None) -> None:
        self.settings = settings or Settings()
        self.dim = self.settings.dim
        self.text = (text or Bert(self.settings.bert)) if self.settings.reads_text else None
        self._parts: Parts | None = None
        self._lacking: Counter[str] = Counter()

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return the checkpoint of its text model, none where it reads no text."""
        return [] if self.text is None else self.text.checkpoints

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where its text model could not encode."""
        if self.text is not None:
            self.text.check_ready()

    @property
    def parts(self) -> Parts:
        """Return what is learnt. Raises EncoderError before `fit`."""
        if self._parts is None:
            raise EncoderError("This fused encoder is not trained yet: call fit, or load a saved one.")
        return self._parts

    @property
    def uses_transformer(self) -> bool:
        """Return whether notes are read."""
        return self.text is not None

    @property
    def needs_notes(self) -> bool:
        """Return whether notes alone are read; one that learns from both encodes a unit by what it has."""
        return not self.settings.reads_records

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames of a batch that it looks at, beside units and codes."""
        measured = self.settings.reads_records and self.settings.lab_hours
        return frozenset({"measurements"} if measured else ()) | frozenset(
            {"notes"} if self.settings.reads_text else ()
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """Return units that lack notes or records, codes and values without a column, and what was cut of notes."""
        features = self._parts.features if self._parts else None
        return (
            Counter(self.text.counts if self.text else {})
            + self._lacking
            + (features.counts if features else Counter())
        )

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, checkpoint, columns and weights (hex). Raises EncoderError before `fit`."""
        facts = {
            **identity(self.settings),
            "model": self.text.fingerprint if self.text else "",
            "features": self._facts(),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + b"\0" + tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source, training: Set[str] | None = None) -> Self:
        """Train on the units whose ids are in `training`, on all where None. Same source, same weights.

        Raises EncoderError where there is too little to learn from, LeakageError where others reach a trained part.
        """
        if self.text is not None:
            check_notes(source, f"fused:{self.settings.fusion}")
        checked = Checked(
            source if training is None else Subset(source, training), TrainingIds(training), "the fusion"
        )
        features = self.learn_features(checked)
        inputs, known = self.gather(checked.batches(), features)
        self._parts = Parts(*train_fusion(inputs, known, self.settings), features)
        self._forget_counts()
        return self

    def learn_features(self, source: Source) -> RecordFeatures | None:
        """Return the columns of a source's records, None where records don't enter. Raises EncoderError."""
        settings = self.settings
        if not settings.reads_records:
            return None
        features = RecordFeatures.learn(source.batches, settings)
        if not features.columns:
            raise EncoderError(
                f"No code and no laboratory value stands in {settings.min_units} units of this source: use fused:text."
            )
        return features

    def gather(self, batches: Iterable[Batch], features: RecordFeatures | None) -> tuple[Inputs, Known]:
        """Return the inputs of many units, and what is known of them. Raises EncoderError where none has a note."""
        pairs = [(self.inputs_of(batch, features), Known.of(batch)) for batch in batches]
        if not pairs:
            raise EncoderError("The source holds nobody to learn from.")
        inputs = Inputs.join([one for one, _ in pairs])
        if self.text is not None and not inputs.has_text.any():
            raise EncoderError("The source holds no notes to learn from: use fused:structured.")
        return inputs, Known.join([one for _, one in pairs])

    def inputs_of(
        self, batch: Batch, features: RecordFeatures | None, notes: Vectors | None = None
    ) -> Inputs:
        """Return what the network sees of a batch; `notes`, (units, width), are its notes' vectors if known."""
        if self.text is None:
            text = np.zeros((len(batch), 0), np.float32)
        else:
            text = self.text.encode(batch) if notes is None else pool_notes(batch, notes)
        return Inputs(text, features.transform(batch) if features else _no_records(len(batch), 0))

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit with neither notes nor records is a row of zeros."""
        return fuse(self.parts.fusion, self._counted(batch))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, as of units with one note and no records; zeros as above.

        Raises NoText for fused:structured.
        """
        if self.text is None:
            raise NoText("fused:structured knows no text.", remedy="Query by patient.", hint="query_patient")
        features = self.parts.features
        none = _no_records(len(texts), len(features.columns) if features else 0)
        return fuse(self.parts.fusion, Inputs(self.text.encode_text(texts), none))

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and why.

        Categories of notes are not told with the pooling cls-truncate.
        """
        features, notes = self.parts.features, None
        if self.text is not None and self.text.settings.pooling != "cls-truncate":
            notes = self.text.encode_notes(batch.notes["text"].tolist())
        inputs = self._counted(batch, notes)
        categories = None if notes is None else categories_of(batch, notes)
        told = explain(self.parts.fusion, inputs, features.columns if features else [], categories)
        return fuse(self.parts.fusion, inputs), told

    def describe(self) -> Mapping[str, Any]:
        """Return settings, size, and how training went."""
        features = self.parts.features
        return {
            **identity_of(self),
            "dim": self.dim,
            "columns": len(features.columns) if features else 0,
            "epochs": self.parts.trace._asdict(),
            "modules": self.text.describe().get("modules", []) if self.text else [],
        }

    def save(self, folder: Path) -> None:
        """Write `encoder.json`, `model.safetensors` and the text encoder's own folder into `folder`."""
        learnt = {"features": self._facts(), "epochs": self.parts.trace._asdict()}
        write_about(folder, {**identity_of(self), **learnt})
        write_tensors(folder, self._tensors())
        if self.text is not None:
            self.text.save(folder / _TEXT)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or changed, or its checkpoint gone."""
        about = _about(folder)
        encoder = cls(about.settings, Bert.load(folder / _TEXT) if about.settings.reads_text else None)
        encoder._parts = _parts(folder, about)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    def _facts(self) -> dict[str, Any] | None:
        return self.parts.features.facts() if self.parts.features else None

    def _forget_counts(self) -> None:
        """Begin to count anew: what was cut for training is cut again when it is encoded."""
        self._lacking.clear()
        if self.text is not None:
            self.text.counts.clear()
        if self._parts and self._parts.features:
            self._parts.features.forget_counts()

    def _counted(self, batch: Batch, notes: Vectors | None = None) -> Inputs:
        inputs = self.inputs_of(batch, self.parts.features, notes)
        if self.settings.reads_text and self.settings.reads_records:
            self._lacking["units without notes"] += int((~inputs.has_text & inputs.has_records).sum())
            self._lacking["units without codes or values"] += int(
                (inputs.has_text & ~inputs.has_records).sum()
            )
        return inputs

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        fusion, features = self.parts.fusion, self.parts.features
        weights = {f"fusion/{name}": one.numpy() for name, one in fusion.state_dict().items()}
        labs = features.tensors() if features else {}
        return weights | {f"labs/{name}": one for name, one in labs.items()}


def fuse(fusion: "Fusion", inputs: Inputs) -> Vectors:
    """Return (n, width) float32 unit rows, zeros where there is nothing to fuse."""
    import torch

    made = [np.zeros((0, 0), np.float32)] if not len(inputs) else []
    with torch.inference_mode():
        for start in range(0, len(inputs), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(inputs)))
            made.append(fusion(inputs.tensors(rows)).direction.numpy())
    vectors = np.concatenate(made)
    vectors[~inputs.has_text & ~inputs.has_records] = 0
    return vectors


def _about(folder: Path) -> _About:
    """Return what `save` wrote, also where an earlier version did. Raises EncoderError."""
    about = read_about(folder, _About)
    if "rate" in read_about(folder, dict[str, Any])["settings"]:
        return about
    return replace(about, settings=of_earlier_version(about.settings))


def _parts(folder: Path, about: _About) -> Parts:
    """Return the parts that `save` wrote. Raises EncoderError for weights of another network."""
    import torch
    from cohorts.encoders.fused.network import Fusion

    named: dict[str, dict[str, npt.NDArray[Any]]] = {"fusion": {}, "labs": {}}
    for key, tensor in read_tensors(folder).items():
        part, _, name = key.partition("/")
        named.setdefault(part, {})[name] = tensor
    features = (
        RecordFeatures.restore(about.features, named["labs"], about.settings) if about.features else None
    )
    columns = len(features.columns) if features else 0
    weights = {name: torch.from_numpy(one) for name, one in named["fusion"].items()}
    kind, width, code_layer = about.settings.fusion, about.settings.dim, about.settings.code_layer
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes the file says
            fusion = Fusion(kind, len(weights["text_mean"]), columns, width, code_layer)
        fusion.load_state_dict(weights, assign=True)
    except (KeyError, TypeError, RuntimeError) as error:
        raise EncoderError(
            f"{folder / TENSORS} holds the weights of another network than {folder / ABOUT} says. {AGAIN}"
        ) from error
    return Parts(fusion.eval(), about.epochs, features)


def _no_records(units: int, columns: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((units, columns), dtype=np.float32)


KIND = EncoderKind(settings=Settings, make=Fused, load=Fused.load)
