"""How alike do encoders find pairs of texts that people scored? One line for each, all on the same pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cohorts.encoders.base import check_ready
from cohorts.encoders.bert.clinicalnotebert import NO_SIMCSE, PARAMETERS, SIMCSE
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.fused.encoder import Fused
from cohorts.errors import CheckpointNotFound, InputError
from cohorts.harness.evaluate.base import Run, Sheet, Task, Told, figures
from cohorts.harness.evaluate.data.encoders import NamedEncoder, check_names, parse_contestant
from cohorts.harness.evaluate.seeds import printed_column
from cohorts.harness.evaluate.space.sentence_pairs import (
    ScoredPairs,
    pair_cosines,
    words_in_common,
)
from cohorts.measures.correlation import pearson, spearman
from cohorts.measures.geometry import Values
from cohorts.reports.formats import count, decimals
from cohorts.reports.long_table import ColumnSpec, Record, TableSpec, chosen, nothing, records
from cohorts.reports.published import NOTE_TASKS, of_checkpoint

WORDS = "words in common"  # the baseline
NOT_HERE = "its checkpoint is not here: a download fetches it"
_MEASURES = {"spearman": spearman, "pearson": pearson}
_SHOWN = decimals(3)


@dataclass(frozen=True, kw_only=True)
class SimilarityTask(Task[ScoredPairs]):
    """Encoders that need no training. Raises InputError, CheckpointNotFound before any is loaded.

    With `may_lack`, encoders whose checkpoint is not on this machine are told and left out, unless none is there. In
    the sheet, `without_vector` counts pairs of which a text has none: their cosine is 0. `published` is the authors'
    score by ClinicalSTS, as printed.
    """

    name = "similarity"
    packages = ("numpy", "pandas", "scipy", "torch", "transformers")
    sheets = {  # noqa: RUF012 - never changed
        "similarity": Sheet(
            ("encoder",),
            (*_MEASURES, "without_vector", "published", "why_not"),
            intervals=tuple(_MEASURES),
            counts=("without_vector",),
        )
    }
    contestants: Sequence[NamedEncoder]
    may_lack: bool = False
    as_of = ""  # pairs of texts have no time

    def __post_init__(self) -> None:
        check_names(self.contestants)
        for one in self.contestants:
            if not (one.trained or isinstance(one.encoder, Bert)):
                raise InputError(
                    f"Encoder {one.name} learns from a source, and pairs are none.",
                    remedy="Train it on one, save it, and name its folder.",
                    hint="fit_and_name",
                )
            if isinstance(one.encoder, Fused) and not one.encoder.settings.reads_text:
                raise InputError(f"Encoder {one.name} reads no text: leave it out.")
        if not self.here:
            raise CheckpointNotFound(
                f"None of {len(self.contestants)} checkpoints is on this machine.",
                remedy="Fetch them where there is a network, or name others.",
                hint="download_or_name",
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

    def origin(self, given: ScoredPairs) -> dict[str, Any]:
        """Return how many pairs there are, the checksum of their table, and the encoders' fingerprints."""
        encoders = {one.name: one.encoder.fingerprint for one in self.contestants if one.name in self.here}
        return {
            "synthetic": False,
            "pairs": len(given.score),
            "checksum": given.checksum,
            "encoders": encoders,
        }

    def measure(self, given: ScoredPairs, run: Run) -> Iterator[Record]:
        """Yield the correlations of the baseline and of every encoder. Raises EncoderError."""
        run.begin(WORDS)
        yield from _correlations(WORDS, words_in_common(given), given)
        for one in self.contestants:
            if one.name in self.here:
                run.begin(one.name, one.name)
                cosines, there = pair_cosines(*map(one.encoder.encode_text, (given.left, given.right)))
                yield from _correlations(one.name, cosines, given, without=int((~there).sum()))
            why_not = "" if one.name in self.here else NOT_HERE
            yield from figures(
                "similarity", {"encoder": one.name}, published=_published(one), why_not=why_not
            )

    def told(self, run: Run) -> Told:
        """Return the correlations, and which encoder ranks the pairs most as people do."""
        frame = run.table("similarity")
        why_not = chosen(frame, {"measure": "why_not"}).set_index("encoder")["text"]
        table = TableSpec(
            title="Cosines and scores of the pairs: correlation [95 % interval]",
            rows={
                "vectors": lambda one: (
                    one["encoder"] + (f" ({why_not[one['encoder']]})" if one["encoder"] in why_not else "")
                )
            },
            columns=[
                *(
                    ColumnSpec(title=name.capitalize(), measure=name, show=_SHOWN, short=name.capitalize())
                    for name in _MEASURES
                ),
                ColumnSpec(
                    title="pairs without a vector",
                    measure="without_vector",
                    show=count,
                    beside=nothing,
                    missing="",
                ),
                printed_column("STS", "published", NOTE_TASKS, short="STS × 100,\npublished"),
            ],
        )
        return Told(
            finding=_finding(records(chosen(frame, {"measure": "spearman"}))),
            tables={"similarity": [table.of(frame)]},
        )


def simcse_variants() -> list[NamedEncoder]:
    """Return every checkpoint of ClinicalNoteBERT that was adapted by SimCSE."""
    sizes = [size for size in PARAMETERS if size != NO_SIMCSE]
    return [parse_contestant(f"clinicalnotebert:{size},simcse={level}") for level in SIMCSE for size in sizes]


def _correlations(name: str, cosines: Values, pairs: ScoredPairs, without: int = 0) -> Iterator[Record]:
    measured = {measure: of(cosines, pairs.score) for measure, of in _MEASURES.items()}
    return figures("similarity", {"encoder": name}, **measured, without_vector=without)


def _finding(ranks: Sequence[Record]) -> str:
    words, *others = ranks
    measured = [one for one in others if one["value"] == one["value"]]
    if not measured:
        return "Nothing can be told: all cosines are one."
    best = max(measured, key=lambda one: one["value"])
    value, low, high = (_SHOWN(best[part]) for part in ("value", "low", "high"))
    reached = _SHOWN(words["value"]) if words["value"] == words["value"] else "–"
    return (
        f"{best['encoder']} ranks the pairs most as people do: Spearman {value} [{low}, {high}], where words in common "
        f"reach {reached}."
    )


def _published(contestant: NamedEncoder) -> str:
    """Return the authors' score of a checkpoint by pairs of sentences, "" for what they did not score so."""
    encoder = contestant.encoder
    if not (isinstance(encoder, Bert) and encoder.settings.model.endswith("-simcse_sentence")):
        return ""
    figure = of_checkpoint(encoder.settings.model)
    return figure.printed if figure else ""
