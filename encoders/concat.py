"""The encoder `concat`: several encoders side by side in one vector, as in `concat:lsa=1,codes=.5`.

The inner product of a question and a unit is the mean of the parts' inner products, by their weights. A unit that lacks
a part (no notes, no codes) has zeros there, and what it lacks to length 1 stands in the padding (features/latent.py),
which is zero in what is asked: the other parts count no more for it.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from cohorts.encoders.base import (
    Encoder,
    Explains,
    ExplainsText,
    Explanation,
    Vectors,
    check_ready,
    checkpoints_of,
    padding_of,
)
from cohorts.encoders.needs import frames_read
from cohorts.encoders.pooling import filled_rows, unit_rows
from cohorts.encoders.saving import check_unchanged, identity_of, read_about, write_about
from cohorts.encoders.target_weights import Asked, choose_weights
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Source
from cohorts.records.transforms import reading

REASONS = 200  # told of a unit
SettingsOf = Callable[[str], Collection[str]]
_TARGET = ",target="
# A part and its weight; `last` is what stands before the weight's =, back to the last comma, colon or =.
_WEIGHT = re.compile(r"(?P<spec>.*?(?P<last>[^,:=]*))=(?P<weight>\d+\.?\d*|\.\d+)")
_NOTHING_LEFT = 90.0  # degrees
_MULTIPLE = 8  # of which a vector has numbers: product quantization cuts them in parts of 8


@dataclass(frozen=True)
class Settings:
    """The parts as they were asked for, what each weighs, and what the weights are chosen for ("": they are given)."""

    parts: list[str]
    weights: list[float]
    target: str = ""

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise EncoderError(
                "concat puts several encoders side by side: name two or more, as in concat:lsa+codes."
            )
        if len(self.weights) != len(self.parts):
            raise EncoderError(f"concat: {len(self.parts)} parts and {len(self.weights)} weights.")
        for part, weight in zip(self.parts, self.weights, strict=True):
            if not 0 <= weight < float("inf"):
                raise EncoderError(f"concat: the weight of {part} is {weight}; it must be 0 or more.")
        if not any(self.weights):
            raise EncoderError("concat: one of the weights must be above 0.")


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["concat"]
    fingerprint: str
    settings: Settings


def parse_parts(text: str, encoders: Sequence[str], settings_of: SettingsOf) -> Settings:
    """Read `A+B`, `A=1,B=.5` or `A+B,target=T`; `settings_of` names the settings of an encoder.

    A part begins with an encoder's name, behind + or a comma; what follows that begins with none belongs to it, and a
    number behind its last = is its weight, unless a setting of its own is named before it. Raises EncoderError.
    """
    text, given, target = text.partition(_TARGET)
    if given and not target.strip():
        raise EncoderError(
            "concat: target= names nothing: write died, principal, or a label, as in target=died."
        )
    names = "|".join(map(re.escape, encoders))
    parts = re.split(rf"[+,]\s*(?=(?:{names})\s*(?:[:=+,]|$))", text) if text else []
    read = [_parse_part(part.strip(), encoders, settings_of) for part in parts]
    if target and any(weight is not None for _, weight in read):
        raise EncoderError(
            "concat: weights are given, or chosen for a target, and not both: leave one of them out."
        )
    return Settings(
        [spec for spec, _ in read], [1.0 if one is None else one for _, one in read], target.strip()
    )


def _parse_part(part: str, encoders: Sequence[str], settings_of: SettingsOf) -> tuple[str, float | None]:
    """Return a part as it is asked for, and its weight, None where none is given."""
    name = re.split("[:=]", part, maxsplit=1)[0]
    if name not in encoders:
        raise EncoderError(
            f"concat: {part!r} begins with no encoder's name. Encoders: {', '.join(encoders)}."
        )
    found = _WEIGHT.fullmatch(part)
    if found is None or found["last"] in settings_of(name):
        return part, None
    return found["spec"], float(found["weight"])


class Concat:
    """The encoder `concat`, made of its parts, trained or not."""

    name = "concat"

    def __init__(self, settings: Settings, parts: Sequence[Encoder]) -> None:
        self.settings, self._parts = settings, list(parts)
        self._widths = [part.dim - (padding_of(part) is not None) for part in self._parts]
        self.dim = -(-(sum(self._widths) + 1) // _MULTIPLE) * _MULTIPLE
        self.padding = self.dim - 1
        self._lacking: Counter[str] = Counter()
        self._met: Counter[str] = Counter()  # what the parts counted while the weights were chosen

    @property
    def parts(self) -> list[Encoder]:
        """Return the encoders side by side."""
        return list(self._parts)

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return those of the parts."""
        return [one for part in self._parts for one in checkpoints_of(part)]

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where a part's text models could not encode."""
        for part in self._parts:
            check_ready(part)

    @property
    def uses_transformer(self) -> bool:
        """Return whether one of the parts is."""
        return any(part.uses_transformer for part in self._parts)

    @property
    def needs_notes(self) -> bool:
        """Return whether all parts do."""
        return all(part.needs_notes for part in self._parts)

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames that one of the parts looks at."""
        return frozenset[str]().union(*map(frames_read, self._parts))

    @property
    def counts(self) -> Mapping[str, int]:
        """Return what the parts count, and how many units lack each part."""
        return self._of_parts() - self._met + self._lacking

    @property
    def fingerprint(self) -> str:
        """Return a hash over the parts' own and their weights (hex). Raises EncoderError before `fit`."""
        facts = {"weights": self.settings.weights, "parts": [part.fingerprint for part in self._parts]}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Train every part on the source, and then choose the weights where a target is given. Raises EncoderError.

        For a part, only the frames are read that it looks at.
        """
        for part in self._parts:
            with reading(source, frames_read(part)):
                part.fit(source)
        if self.settings.target:
            asked = Asked(self.settings.target).read(source, self._blocks)
            self.settings = replace(self.settings, weights=choose_weights(asked))
        self._lacking.clear()
        self._met = self._of_parts()
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit for which every part is zero is a row of zeros."""
        return self._joined(self._blocks(batch))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows to ask by, without padding, of the parts that know text.

        Raises NoText where none does.
        """
        made = np.zeros((len(texts), self.dim), np.float32)
        for start, width, scale, rows in self._text_blocks(texts):
            made[:, start : start + width] = scale * rows
        return unit_rows(made)

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and why.

        That is the share of each vector that notes alone made, and the parts' reasons.
        """
        blocks, told = [], []
        for part, width in zip(self._parts, self._widths, strict=True):
            vectors, reasons = part.explain(batch) if isinstance(part, Explains) else (part.encode(batch), [])
            blocks.append(vectors[:, :width])
            told.append(reasons)
        made = self._joined(blocks)
        shares = self._shares(blocks)
        return made, [self._explained(row, shares[row].tolist(), told) for row in range(len(batch))]

    def explain_text(self, text: str, found: Vectors) -> list[list[tuple[str, float]]]:
        """Return, for each of the units found (n, dim), what each word of a text adds to the cosine, the most first.

        Only of the parts that can tell. Raises NoText where no part knows text.
        """
        blocks = list(self._text_blocks([text]))
        length = np.sqrt(sum(scale**2 for _, _, scale, rows in blocks if rows.any())) or 1.0
        told: list[Counter[str]] = [Counter() for _ in found]
        for part, start, width, scale in zip(
            self._parts, self._starts, self._widths, self._scales, strict=True
        ):
            if isinstance(part, ExplainsText):
                own = part.explain_text(text, found[:, start : start + width])
                for words, of_unit in zip(told, own, strict=True):
                    words.update({word: float(scale * share / length) for word, share in of_unit})
        return [sorted(words.items(), key=lambda one: (-one[1], one[0])) for words in told]

    def describe(self) -> Mapping[str, Any]:
        """Return the weights, and what every part says of itself."""
        return {**identity_of(self), "dim": self.dim, "of parts": [part.describe() for part in self._parts]}

    def save(self, folder: Path) -> None:
        """Write `encoder.json`, and every part into a folder of its own."""
        write_about(folder, identity_of(self))
        for number, part in enumerate(self._parts, start=1):
            part.save(folder / f"part-{number}")

    @classmethod
    def load(cls, folder: Path, load: Callable[[Path], Encoder]) -> Self:
        """Read what `save` wrote, every part by `load`. Raises EncoderError where it is incomplete or was changed."""
        about = read_about(folder, _About)
        numbers = range(1, len(about.settings.parts) + 1)
        encoder = cls(about.settings, [load(folder / f"part-{number}") for number in numbers])
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    @property
    def _starts(self) -> list[int]:
        return list(accumulate(self._widths[:-1], initial=0))

    @property
    def _scales(self) -> list[float]:
        """Return what each part's rows are multiplied by: the squares are shares of 1."""
        whole = sum(self.settings.weights)
        return [math.sqrt(weight / whole) for weight in self.settings.weights]

    def _of_parts(self) -> Counter[str]:
        return sum((Counter(part.counts) for part in self._parts), Counter[str]())

    def _blocks(self, batch: Batch) -> list[Vectors]:
        """Return the rows of every part, (len(batch), width), without padding: their length is 1 or less."""
        return [part.encode(batch)[:, :width] for part, width in zip(self._parts, self._widths, strict=True)]

    def _joined(self, blocks: Sequence[Vectors]) -> Vectors:
        made = np.zeros((len(blocks[0]), self.dim), np.float32)
        for start, width, scale, block in zip(self._starts, self._widths, self._scales, blocks, strict=True):
            made[:, start : start + width] = scale * block
        there = filled_rows(made)
        made[there, -1] = np.sqrt(np.maximum(1 - np.square(made[there]).sum(axis=1), 0))
        for part, block in zip(self._parts, blocks, strict=True):
            lacking = int((there & ~filled_rows(block)).sum())
            self._lacking[f"units of which {part.name} knows nothing"] += lacking
        return unit_rows(made)

    def _text_blocks(self, texts: Sequence[str]) -> "list[tuple[int, int, float, Vectors]]":
        """Return where the rows of every part that knows text begin, their width, their scale, and themselves."""
        made = []
        for part, start, width, scale in zip(
            self._parts, self._starts, self._widths, self._scales, strict=True
        ):
            try:
                made.append((start, width, scale, part.encode_text(texts)[:, :width]))
            except NoText:
                continue
        if not made:
            raise NoText(
                "No part of this encoder knows text.", remedy="Query by patient.", hint="query_patient"
            )
        return made

    def _shares(self, blocks: Sequence[Vectors]) -> Vectors:
        """Return the share of every part in each unit's vector, without padding, (n, parts)."""
        squares = np.stack(
            [
                scale**2 * np.square(block).sum(axis=1)
                for scale, block in zip(self._scales, blocks, strict=True)
            ],
            axis=1,
        )
        whole = squares.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(squares, whole, out=np.zeros_like(squares), where=whole > 0), np.float32)

    def _explained(
        self, row: int, shares: Sequence[float], told: Sequence[Sequence[Explanation]]
    ) -> Explanation:
        """Return the reasons of a unit; an angle by which a part turns is that by which the whole vector does."""
        from_notes, reasons = 0.0, []
        for part, share, of_part in zip(self._parts, shares, told, strict=True):
            own = of_part[row] if of_part else Explanation(float(part.needs_notes), ())
            from_notes += share * own.from_notes
            reasons += [(name, _turned(angle, share)) for name, angle in own.reasons]
        return Explanation(from_notes, tuple(sorted(reasons, key=lambda one: (-one[1], one[0]))[:REASONS]))


def _turned(angle: float, share: float) -> float:
    """Return by how many degrees a vector turns of which a part turns, the square of whose length is `share`.

    By a right angle turns what has nothing left: its part is gone from the vector.
    """
    cosine = math.sqrt(1 - share) if angle == _NOTHING_LEFT else 1 - share * (1 - np.cos(np.radians(angle)))
    return float(np.degrees(np.arccos(cosine)))
