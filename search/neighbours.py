"""Patients like one patient, or like several, a text or a vector: each once, by its best unit, and none asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector, Description, Found, Hit, Payload
from cohorts.connectors.checks import check_k
from cohorts.connectors.collection import EXTERNAL
from cohorts.connectors.filters.conditions import All, Filter, Not
from cohorts.connectors.index import SearchParams
from cohorts.connectors.patients import as_kept, patient_field, patients_of, points_of
from cohorts.connectors.spread import warning_of
from cohorts.records.window import WHOLE_STAY
from cohorts.search.absent_values import Lookup
from cohorts.search.examples import Asked, Encode, Examples, Vectors
from cohorts.search.question import Example, Kind, Question

Vector = npt.NDArray[np.float32]
WIDER = 4  # times as many points are asked for where they are of too few patients
_DIGITS = 6  # of a cosine that engines agree on: float32 has 7
WIDEST = 10_000  # points asked for at once; from then on the patients found are left out by a filter


@dataclass(frozen=True)
class Neighbours:
    """The hits, best first, how many were asked for (fewer may match), and what the search did otherwise.

    Each is the best unit of another patient, or, `per_unit`, any unit. `own` is what is stored of the patient that was
    asked for. `whole` says that nothing else matches. `description` is of the collection that was searched, `question`
    what was asked of it; `examples` are the patients to be like, each by the unit that is nearest to what was asked.
    """

    hits: list[Hit]
    asked: int
    description: Description
    notes: tuple[str, ...] = ()
    own: tuple[Payload, ...] = ()
    per_unit: bool = False
    whole: bool = True
    question: Question | None = None
    examples: tuple[Hit, ...] = ()

    @property
    def patients(self) -> list[frozenset[str]]:
        """Return whose each hit is."""
        field = patient_field(self.description.collection)
        return [patients_of(field, hit.id, hit.payload) for hit in self.hits]

    @property
    def translation(self) -> str:
        """Return how the collection's index was matched by recall; "" where it was asked for as it is."""
        return self.description.collection.translation

    @property
    def as_of(self) -> str:
        """Return the window of the records that the vectors are of; "" where that is not known."""
        return records_seen(self.description.collection)

    @property
    def synthetic(self) -> bool:
        """Return whether the collection's patients are invented."""
        return bool(self.description.collection.metadata.get("synthetic"))

    @property
    def shortfall(self) -> str:
        """Return why fewer were found than asked for, in words; nothing where as many were."""
        got, what = len(self.hits), "units" if self.per_unit else "patients"
        if got >= self.asked:
            return ""
        why = f"only {got:,} {what} match" if self.whole else f"the engine gives no more {what} at once"
        return f"{self.asked:,} were asked for, {got:,} found: {why}"


def records_seen(collection: Collection) -> str:
    """Return the window of the records that a collection's vectors are of; "" where others made them."""
    metadata = collection.metadata
    ours = metadata.get("encoder_fingerprint") and metadata.get("encoder") != EXTERNAL
    return str(metadata.get("as_of", WHOLE_STAY)) if ours else ""


@dataclass(frozen=True)
class _Search:
    """A search for points near `asked` that pass `where`, but none of its patients."""

    connector: Connector
    description: Description
    name: str
    question: Question
    asked: Asked

    @property
    def collection(self) -> Collection:
        """Return what is described."""
        return self.description.collection

    def ask(self, vectors: Vectors, many: int, without: Iterable[str] = ()) -> Found:
        """Return the points nearest to each vector (q, dim), without those of some patients."""
        where, field = self.question.where, patient_field(self.collection)
        if without and field:
            others = Not(points_of(self.collection, field, sorted(without)))
            where = others if where is None else All((where, others))
        return self.connector.search(self.name, vectors, many, where=where, params=self.question.params)

    def absent(self) -> tuple[str, ...]:
        """Return what is to be said of the values that `where` asks for and nobody has."""
        if self.question.where is None:
            return ()
        lookup = Lookup(self.collection, self._any_passes, partial(self.connector.values, self.name))
        return lookup.absent(self.question.where)

    def _any_passes(self, where: Filter) -> bool:
        found = self.connector.search(self.name, self.asked.vectors[:1], 1, where=where, with_payload=False)
        return bool(found.hits[0])

    def patients(self, hit: Hit) -> frozenset[str]:
        """Return whose a hit is."""
        return patients_of(patient_field(self.collection), hit.id, hit.payload)

    def answers(self, hits: Iterable[Hit]) -> list[Hit]:
        """Return each patient's best unit, or all units, but none of who was asked for. A unit of nobody stands for
        itself.
        """
        taken = set(self.asked.patients)
        best = []
        for hit in sorted(hits, key=_by_id_where_alike if self.exact else lambda one: -one.score):
            patients = self.patients(hit)
            if taken.isdisjoint(patients):
                best.append(hit)
                taken |= frozenset() if self.question.per_unit else patients
        return best

    @property
    def exact(self) -> bool:
        """Return whether every point is compared: answers are then the same on all engines."""
        params = self.question.params
        return self.description.exact or (params is not None and params.exact)

    def settled(self, best: Sequence[Hit]) -> bool:
        """Tell whether the first k of the best are known: of an exact search, that nobody else ties with the last."""
        k = self.question.k
        if not self.exact or len(best) < k:
            return len(best) >= k
        return len(best) > k and _alike(best[k]) < _alike(best[k - 1])

    def left_out(self, best: Iterable[Hit]) -> frozenset[str]:
        """Return the patients to look past: those that a filter can name, and none where the points' own ids are
        theirs.
        """
        field = patient_field(self.collection)
        if field is None:
            return frozenset()
        found = self.asked.patients
        if not self.question.per_unit:
            found = found.union(*map(self.patients, best))
        return frozenset(one for one in found if as_kept(self.collection, field, one) is not None)


def of_patient(
    connector: Connector,
    name: str,
    patient_id: str,
    k: int,
    *,
    where: Filter | None = None,
    params: SearchParams | None = None,
    per_unit: bool = False,
    suggest: bool = False,
) -> Neighbours:
    """Return the k patients most like one, as `of_question` does."""
    examples = (Example(kind=Kind.PATIENT, value=patient_id),)
    question = Question(examples=examples, k=k, where=where, params=params, per_unit=per_unit)
    return of_question(connector, name, question, suggest=suggest)


def of_vector(
    connector: Connector,
    name: str,
    vector: Vector,
    k: int,
    *,
    where: Filter | None = None,
    params: SearchParams | None = None,
    per_unit: bool = False,
) -> Neighbours:
    """Return the k patients most like a vector, (dim,) float32, as `of_question` does."""
    examples = (Example(kind=Kind.VECTOR, vector=tuple(vector.tolist())),)
    question = Question(examples=examples, k=k, where=where, params=params, per_unit=per_unit)
    return of_question(connector, name, question)


def of_question(
    connector: Connector,
    name: str,
    question: Question,
    encode: Encode | None = None,
    *,
    suggest: bool = False,
    own: Sequence[Payload] = (),
    notes: tuple[str, ...] = (),
) -> Neighbours:
    """Return the k patients most like the examples of a question, none of whom is an answer.

    A patient's own units (admissions, chunks) count by their mean direction; texts are read by `encode`. Of every
    patient the best unit is returned; `per_unit`, the k nearest units whosever they are. Of a new patient, `own` is
    what would be stored, and `notes` are told with the answers.

    Raises CollectionNotFound, and PatientNotFound: it names the nearest ids, which are other patients', with `suggest`
    alone; InputError where examples leave no direction to search in.
    """
    check_k(question.k, connector.abilities)
    description = connector.describe(name)
    meant, told = question, tuple[str, ...]()
    if question.texts:
        from cohorts.search.negation import as_meant  # other questions should not wait for it

        meant, told = as_meant(question, description.collection)
    examples = Examples(connector, name, description.collection, encode, suggest=suggest)
    asked = examples.asked(meant)
    search = _Search(connector, description, name, meant, asked)
    nearest = _nearest(search)
    best = nearest.best[: question.k]
    notes += told + asked.notes + nearest.notes
    nobodys = sum(not search.patients(hit) for hit in best)
    if nobodys and not question.per_unit:
        notes += (f"{nobodys:,} of the answers name no patient: each stands for itself",)
    notes += search.absent()
    if warning := warning_of(connector, name, search.collection):
        notes += (warning,)
    return Neighbours(
        hits=best,
        asked=question.k,
        description=description,
        notes=tuple(dict.fromkeys(notes)),
        own=(*asked.own, *own),
        per_unit=question.per_unit,
        whole=nearest.whole,
        question=question,
        examples=asked.examples,
    )


def _alike(hit: Hit) -> float:
    """Return a score without the last digits, in which engines differ."""
    return round(hit.score, _DIGITS)


def _by_id_where_alike(hit: Hit) -> tuple[float, str]:
    """Return a hit's place: by score and, of equal ones, by id."""
    return -_alike(hit), hit.id


class _Nearest(NamedTuple):
    """Answers, best first, at least k of them or, where they are the `whole`, all that match."""

    best: list[Hit]
    whole: bool
    notes: tuple[str, ...]


def _nearest(search: _Search) -> _Nearest:
    """Return the answers by the best of all vectors: who is among the first k by that is so by one of them."""
    vectors, k = search.asked.vectors, search.question.k
    limit = min(search.connector.abilities.max_k, max(WIDEST, WIDER * k))
    wanted = min(k + search.asked.units + search.exact, limit)
    first = search.ask(vectors, wanted)
    every = [
        _widened(search, vectors[row : row + 1], hits, wanted, limit) for row, hits in enumerate(first.hits)
    ]
    best: dict[str, Hit] = {}
    for hit in chain.from_iterable(one.best for one in every):
        if hit.id not in best or hit.score > best[hit.id].score:
            best[hit.id] = hit
    notes = chain(first.notes, *(one.notes for one in every))
    return _Nearest(search.answers(best.values()), all(one.whole for one in every), tuple(notes))


def _widened(search: _Search, vector: Vectors, hits: Sequence[Hit], wanted: int, limit: int) -> _Nearest:
    """Ask for more and more points until they are of k patients, or there are no more.

    Where more are no use (one patient may have more than the engine gives at once), the patients found are left out
    and it begins anew: every such round finds another one.
    """
    k, without, notes = search.question.k, frozenset[str](), tuple[str, ...]()
    pool = {hit.id: hit for hit in hits}
    while True:
        best = search.answers(pool.values())
        whole = len(hits) < wanted
        if whole or search.settled(best) or (wanted >= limit and len(best) >= k):
            return _Nearest(best, whole, notes)
        if wanted < limit:
            wanted = min(WIDER * wanted, limit)
        else:
            left_out = search.left_out(best)
            if left_out <= without:
                return _Nearest(best, whole, notes)
            wanted, without = min(k, limit), left_out
        found = search.ask(vector, wanted, without)
        notes += found.notes
        hits = found.hits[0]
        pool |= {hit.id: hit for hit in hits}
