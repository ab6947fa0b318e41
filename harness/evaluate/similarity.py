"""How alike do encoders find pairs of texts that people scored? One line for each, all on the same pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cohorts.encoders.base import check_ready
from cohorts.encoders.bert.clinicalnotebert import NO_SIMCSE, PARAMETERS, SIMCSE
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.fused.encoder import Fused
from cohorts.errors import CheckpointNotFound, InputError
from cohorts.harness.evaluate.data.encoders import NamedEncoder, check_names, parse_contestant
from cohorts.harness.evaluate.space.geometry import Values
from cohorts.harness.evaluate.space.sentence_pairs import (
    Correlation,
    ScoredPairs,
    cosines_of,
    pearson,
    spearman,
    words_in_common,
)
from cohorts.harness.reports.published import Figure, of_checkpoint
from cohorts.harness.reports.stages import Stages

WORDS = "words in common"  # the baseline
NOT_HERE = "its checkpoint is not here: --download fetches it"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Pairs, and encoders that need no training. Raises InputError, CheckpointNotFound before any is loaded.

    With `may_lack`, encoders whose checkpoint is not on this machine are told and left out, unless none is there.
    """

    pairs: ScoredPairs
    contestants: Sequence[NamedEncoder]
    may_lack: bool = False

    def __post_init__(self) -> None:
        check_names(self.contestants)
        for one in self.contestants:
            if not (one.trained or isinstance(one.encoder, Bert)):
                raise InputError(
                    f"Encoder {one.name} learns from a source, and pairs are none: train it with cohorts fit, and name "
                    "its folder with --encoder."
                )
            if isinstance(one.encoder, Fused) and not one.encoder.settings.reads_text:
                raise InputError(f"Encoder {one.name} reads no text: leave it out.")
        if not self.here:
            raise CheckpointNotFound(
                f"None of {len(self.contestants)} checkpoints is on this machine. Fetch them by --download where there "
                "is a network, or name others with --encoder."
            )

    @cached_property
    def here(self) -> frozenset[str]:
        """Return the names of those that can encode. Raises CheckpointNotFound, EncoderError and MissingExtra."""
        found = set()
        for one in self.contestants:
            try:
                check_ready(one.encoder)
            except CheckpointNotFound:
                if not self.may_lack:
                    raise
            else:
                found.add(one.name)
        return frozenset(found)


class Row(NamedTuple):
    """What was measured of one encoder, or why nothing was.

    `without_vector` counts pairs of which a text has none: their cosine is 0. `published` is the authors' score by
    ClinicalSTS, as printed.
    """

    encoder: str
    spearman: float
    spearman_low: float
    spearman_high: float
    pearson: float
    pearson_low: float
    pearson_high: float
    without_vector: int
    published: str
    why_not: str = ""


@dataclass
class Result:
    """A line for the baseline and each encoder, in the order asked for."""

    rows: list[Row] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)


def simcse_variants() -> list[NamedEncoder]:
    """Return every checkpoint of ClinicalNoteBERT that was adapted by SimCSE."""
    sizes = [size for size in PARAMETERS if size != NO_SIMCSE]
    return [parse_contestant(f"clinicalnotebert:{size},simcse={level}") for level in SIMCSE for size in sizes]


def evaluate(plan: Plan, tell: Tell = lambda _: None) -> Result:
    """Measure the baseline and every encoder. Raises EncoderError."""
    result, pairs = Result(), plan.pairs
    result.stages.begin(WORDS)
    result.rows.append(_row(WORDS, words_in_common(pairs), pairs, 0, ""))
    for one in plan.contestants:
        published = _published(one)
        if one.name not in plan.here:
            result.rows.append(_not_measured(one.name, published))
            continue
        tell(one.name)
        result.stages.begin(one.name)
        cosines, without = cosines_of(one.encoder.encode_text, pairs)
        result.rows.append(_row(one.name, cosines, pairs, without, published))
    result.stages.end()
    return result


def _row(name: str, cosines: Values, pairs: ScoredPairs, without: int, published: str) -> Row:
    rank, linear = spearman(cosines, pairs.score), pearson(cosines, pairs.score)
    return Row(name, *rank, *linear, without, published)


def _not_measured(name: str, published: str) -> Row:
    nothing = Correlation(*[float("nan")] * 3)
    return Row(name, *nothing, *nothing, 0, published, NOT_HERE)


def _published(contestant: NamedEncoder) -> str:
    """Return the authors' score of a checkpoint by pairs of sentences, "" for what they did not score so."""
    encoder = contestant.encoder
    figure: Figure | None = None
    if isinstance(encoder, Bert) and encoder.settings.model.endswith("-simcse_sentence"):
        figure = of_checkpoint(encoder.settings.model)
    return figure.printed if figure else ""
