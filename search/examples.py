"""The vectors that examples are asked by: a patient's own units, a text's or a vector's direction, and their mean."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector, Hit, Payload, Points
from cohorts.connectors.checks import check_queries
from cohorts.connectors.padding import as_questions, padding_of
from cohorts.connectors.patients import as_kept, patient_field, patients_of, points_of
from cohorts.errors import InputError, PatientNotFound
from cohorts.search.contrast import FROM, everybody, share_taken
from cohorts.search.question import Example, Kind, Question

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
FETCHED = 1_000
MAX_IDS = 500_000  # looked through for ids like one that is not there
_NOTHING_LEFT = 1e-3  # of the length of one example: what is shorter is rounding


@dataclass(frozen=True)
class Asked:
    """The vectors to ask by (q, dim) float32, and the patients who are no answers, with what is stored of them.

    `units` is how many points they have; `examples` are the patients to be like, each by the point that is nearest to
    what is asked by.
    """

    vectors: Vectors
    patients: frozenset[str] = frozenset()
    units: int = 0
    own: tuple[Payload, ...] = ()
    notes: tuple[str, ...] = ()
    examples: tuple[Hit, ...] = ()


@dataclass(frozen=True)
class _One:
    """An example's vector (1, dim), and, of a patient, the points that it has, how many are stored, and what."""

    vector: Vectors
    patients: frozenset[str] = frozenset()
    points: Points | None = None
    stored: int = 0
    own: tuple[Payload, ...] = ()
    notes: tuple[str, ...] = ()

    def nearest(self, vectors: Vectors) -> Iterator[Hit]:
        """Yield the point that is nearest to any of some vectors (q, dim); none of what is no patient."""
        if self.points is not None:
            scores = (_unit_rows(self.points.vectors) @ _unit_rows(vectors).T).max(axis=1)
            best = int(scores.argmax())
            yield Hit(self.points.ids[best], float(scores[best]), self.points.payloads[best])


class Examples:
    """Looks up the examples of a question in a collection; `encode` reads texts."""

    def __init__(
        self, connector: Connector, name: str, collection: Collection, encode: Encode | None, *, suggest: bool
    ) -> None:
        self._connector, self._name, self._collection = connector, name, collection
        self._encode, self._suggest = encode, suggest
        self._field, self._padding = patient_field(collection), padding_of(collection)

    def asked(self, question: Question) -> Asked:
        """Return what is asked by. Raises PatientNotFound, and InputError where nothing is left to ask by."""
        if not any(not one.unlike for one in question.examples):
            raise InputError("Nobody to be like is named: name at least one patient, text or vector.")
        every = [self._one(one) for one in question.examples]
        _check_once([one.patients for one in every])
        vectors = np.concatenate([one.vector for one in every])
        like = [of for one, of in zip(question.examples, every, strict=True) if not one.unlike]
        notes: Iterable[str] = ()
        if len(every) > 1:
            vectors, notes = self._combined(question, vectors)
        return Asked(
            vectors,
            frozenset().union(*(one.patients for one in every)),
            sum(one.stored for one in every),
            tuple(chain.from_iterable(one.own for one in like)),
            tuple(dict.fromkeys(chain(*(one.notes for one in every), notes))),
            tuple(chain.from_iterable(one.nearest(vectors) for one in like)),
        )

    def _combined(self, question: Question, vectors: Vectors) -> tuple[Vectors, Iterable[str]]:
        """Return the vectors to ask by (q, dim), and how they were made of those of the examples (n, dim)."""
        like = [row for row, one in enumerate(question.examples) if not one.unlike]
        unlike = [row for row, one in enumerate(question.examples) if one.unlike and one.weight]
        units, weights = _unit_rows(vectors), np.array([one.weight for one in question.examples])
        notes = list(_told(question))
        if question.any_of:
            _check_any(question, weights[like])
            towards = units[like]
        else:
            towards = units[like].T @ weights[like] / weights[like].sum()
            if _contrasts(question, len(like)):
                taken = share_taken(weights[like])
                towards -= taken * everybody(self._connector, self._name, self._collection, question.where)
                notes.append(f"{taken:.2f} of what everybody has in common was taken out of the mean")
            towards = _checked(towards, "The examples")[None, :]
        if unlike:
            away = units[unlike].T @ weights[unlike] / len(unlike)
            towards = np.stack([_checked(one - away, "What is like and what is unlike") for one in towards])
        return np.asarray(_unit_rows(towards), np.float32), notes

    def _one(self, example: Example) -> _One:
        match example.kind:
            case Kind.PATIENT:
                return self._patient(example.value)
            case Kind.TEXT | Kind.NOTE:
                return _One(self._text(example))
            case Kind.NEW:
                return self._new(example)
        return _One(self._vector(example))

    def _patient(self, patient_id: str) -> _One:
        many, own = own_points(self._connector, self._name, self._collection, patient_id)
        if not own.ids:
            raise not_found(self._connector, self._name, self._collection, patient_id, suggest=self._suggest)
        mean = as_questions(own.vectors.mean(axis=0, keepdims=True), self._padding)
        notes: tuple[str, ...] = ()
        if many > len(own.ids):
            notes = (f"the patient has {many:,} units: {len(own.ids):,} of them were averaged",)
        payloads = tuple(own.payloads)
        return _One(mean, self._kept(patient_id), own, len(own.ids), payloads, notes)

    def _new(self, example: Example) -> _One:
        many, _ = own_points(self._connector, self._name, self._collection, example.value)
        told = ("the collection holds a patient of this id too, who is no answer",) if many else ()
        vector = self._vector(example)
        point = Points([example.value], vector, [{self._field: example.value} if self._field else {}])
        return _One(vector, self._kept(example.value), point, many, notes=told)

    def _text(self, example: Example) -> Vectors:
        if example.unlike and not example.weight:  # it is told, and no more
            return np.zeros((1, self._collection.dim), np.float32)
        if self._encode is None:
            raise InputError("A text can't be asked by without the encoder that made the vectors.")
        vector = self._encode([example.value])
        if not vector.any():
            raise InputError("The encoder knows no word of this text; describe the patient in other words.")
        return self._unpadded(vector)

    def _vector(self, example: Example) -> Vectors:
        vector = np.array([example.vector], np.float32)
        if not vector.any():
            raise InputError("A vector of zeros has no direction to compare: give another.")
        return self._unpadded(check_queries(vector, self._collection.dim))

    def _unpadded(self, vectors: Vectors) -> Vectors:
        """Return vectors to ask by: one that was stored is asked by without its padding."""
        padding = self._padding
        if padding is not None and vectors[:, padding : padding + 1].any():
            vectors = as_questions(vectors, padding)
        return vectors

    def _kept(self, patient_id: str) -> frozenset[str]:
        kept = as_kept(self._collection, self._field, patient_id)
        return frozenset(() if kept is None else (kept,))


def _check_once(patients: Sequence[frozenset[str]]) -> None:
    """Raise InputError for a patient who is an example twice; the id is not told."""
    if any(times > 1 for times in Counter(chain(*patients)).values()):
        raise InputError(
            "A patient is named twice among the examples: name each once, as like or as unlike, and give a weight."
        )


def _told(question: Question) -> Iterator[str]:
    """Yield how several examples counted; ids and texts are not told."""
    like = [one for one in question.examples if not one.unlike]
    if len(like) > 1:
        how = "the best of" if question.any_of else "the mean direction of"
        even = len({one.weight for one in like}) == 1
        weights = "" if even else f", with the weights {', '.join(f'{one.weight:g}' for one in like)}"
        yield f"asked by {how} {len(like):,} examples{weights}"
    away = [one.weight for one in question.examples if one.unlike and one.weight]
    if away:
        told = f"{len(away):,} examples were" if len(away) > 1 else "1 example was"
        yield f"{told} subtracted, with the weight {', '.join(f'{one:g}' for one in sorted({*away}))}"
    if any(one.unlike and not one.weight for one in question.examples):
        yield (
            "what answers are to be unlike was not subtracted: its unlike weight is 0, as it is for a text unless one "
            "is given, because subtraction is not negation"
        )


def _contrasts(question: Question, like: int) -> bool:
    return like >= FROM if question.contrast is None else question.contrast


def _check_any(question: Question, weights: npt.NDArray[np.float64]) -> None:
    """Raise InputError where an answer by the best of the examples is asked for, and something of a mean."""
    if np.ptp(weights):
        raise InputError(
            "Weights count in a mean; by the best of several examples all are alike: leave them out."
        )
    if question.contrast:
        raise InputError(
            "What everybody has in common is taken out of a mean, not of each example: leave one out."
        )


def _checked(vector: npt.NDArray[np.float64], what: str) -> npt.NDArray[np.float64]:
    """Return the direction of a sum of directions. Raises InputError where they cancel out."""
    length = np.linalg.norm(vector)
    if length <= _NOTHING_LEFT:
        raise InputError(
            f"{what} cancel out: no direction is left to search in. Leave an example out, or give other weights."
        )
    return np.asarray(vector / length)


def _unit_rows(vectors: Any) -> npt.NDArray[Any]:
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def own_points(
    connector: Connector, name: str, collection: Collection, patient_id: str
) -> tuple[int, Points]:
    """Return how many units a patient has, and those of them that have a vector."""
    field = patient_field(collection)
    if field is None:
        one = connector.fetch(name, [patient_id])
        return len(one.ids), one
    patient = as_kept(collection, field, patient_id)
    where = points_of(collection, field, () if patient is None else (patient,))
    many = 0 if patient is None else connector.count(name, where)
    pages = [connector.fetch(name, ids) for ids in connector.find(name, where, FETCHED)] if many else []
    nothing = np.empty((0, collection.dim), np.float32)
    return many, Points(
        [key for page in pages for key in page.ids],
        np.concatenate([nothing, *(page.vectors for page in pages)]),
        [payload for page in pages for payload in page.payloads],
    )


def not_found(
    connector: Connector, name: str, collection: Collection, patient_id: str, *, suggest: bool
) -> PatientNotFound:
    """Return the error for a patient who is not there; `suggest` names the nearest ids, which are other patients'."""
    facts = f"Collection {name} holds no patient {patient_id}."
    if not suggest:
        remedy = "Ask for suggestions to see the nearest ids there, which are other patients'."
        return PatientNotFound(facts, remedy=remedy, hint="suggest")
    near = ", ".join(_nearest_ids(connector, name, collection, patient_id))
    return PatientNotFound(f"{facts} The nearest ids: {near or 'none: the collection is empty'}.")


def _patient_ids(connector: Connector, name: str, field: str | None) -> Iterator[str]:
    if field is None:
        yield from chain.from_iterable(connector.find(name))
        return
    for key, value in chain.from_iterable(connector.values(name, field)):
        yield from patients_of(field, key, {field: value})


def _nearest_ids(
    connector: Connector, name: str, collection: Collection, patient_id: str, many: int = 5
) -> list[str]:
    """Return ids that stand nearest: by value for numbers, by spelling for anything else. No vector is read."""
    ids = set(islice(_patient_ids(connector, name, patient_field(collection)), MAX_IDS))
    if patient_id.isdecimal() and all(one.isdecimal() for one in ids):
        return sorted(ids, key=lambda one: (abs(int(one) - int(patient_id)), int(one)))[:many]
    return difflib.get_close_matches(patient_id, sorted(ids), n=many, cutoff=0.0)
