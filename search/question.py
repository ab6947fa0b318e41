"""What was asked: examples, how they count, and among whom. Of plain values, so that it can be kept and asked again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import SearchParams
from cohorts.errors import InputError

UNLIKE = 0.2  # of the mean of whom answers are to be like: γ/β of Rocchio's formula as it is commonly set (.15 / .75)


class Kind(StrEnum):
    """What an example is: a patient of the collection, one who is not in it, a description, a note, or a vector."""

    PATIENT = "patient"
    NEW = "new patient"
    TEXT = "text"
    NOTE = "note"
    VECTOR = "vector"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example, whom answers are to be like, or `unlike`; neither id nor text is in its repr.

    `value` is the id or the text, `vector` what a vector or a new patient is asked by (dim,). `weight` is 0 or more.
    """

    kind: Kind
    value: str = field(default="", repr=False)
    weight: float = 1.0
    unlike: bool = False
    vector: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Question:
    """Who is like these examples: by the mean of their directions, or, `any_of`, by the best of them.

    `contrast` says whether what everybody has in common is taken out of the mean; None, where there are many examples.
    Texts are criteria, of which what is negated is left out and excludes; `as_written`, they are not. Notes never are.
    """

    examples: tuple[Example, ...]
    k: int = 10
    any_of: bool = False
    contrast: bool | None = None
    where: Filter | None = field(default=None, repr=False)
    params: SearchParams | None = None
    per_unit: bool = False
    as_written: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the descriptions of whom answers are to be like."""
        return tuple(one.value for one in self.examples if one.kind is Kind.TEXT and not one.unlike)

    @property
    def reads_text(self) -> bool:
        """Return whether an encoder has to read a text of it."""
        return any(
            one.kind in (Kind.TEXT, Kind.NOTE) and (one.weight or not one.unlike) for one in self.examples
        )


def examples_of(
    patients: Sequence[str] = (),
    texts: Sequence[str] = (),
    vectors: Sequence[Sequence[float]] = (),
    *,
    notes: Sequence[str] = (),
    weights: Sequence[float] = (),
    unlike: Sequence[str] = (),
    unlike_texts: Sequence[str] = (),
    unlike_weight: float | None = None,
) -> tuple[Example, ...]:
    """Return examples: patients, texts, notes, vectors, with a weight for each; then whom answers are to be unlike.

    A text is subtracted only where a weight is given: subtraction is not negation. Raises InputError.
    """
    like = [
        *((Kind.PATIENT, one, ()) for one in patients),
        *((Kind.TEXT, one, ()) for one in texts),
        *((Kind.NOTE, one, ()) for one in notes),
        *((Kind.VECTOR, "", tuple(one)) for one in vectors),
    ]
    if weights and len(weights) != len(like):
        raise InputError(
            f"{len(like):,} examples take as many weights, those of patients first, then of texts; got "
            f"{len(weights):,}."
        )
    for weight in (*weights, *(() if unlike_weight is None else (unlike_weight,))):
        if not (isfinite(weight) and weight >= 0):
            raise InputError(f"A weight is a number from 0; got {weight:g}.")
    if weights and not any(weights):
        raise InputError("All weights are 0: give at least one example a weight above 0.")
    away = [
        *((Kind.PATIENT, one, UNLIKE) for one in unlike),
        *((Kind.TEXT, one, 0.0) for one in unlike_texts),
    ]
    return (
        *(
            Example(kind=kind, value=value, weight=float(weight), vector=vector)
            for (kind, value, vector), weight in zip(like, weights or [1.0] * len(like), strict=True)
        ),
        *(
            Example(
                kind=kind, value=value, weight=usual if unlike_weight is None else unlike_weight, unlike=True
            )
            for kind, value, usual in away
        ),
    )
