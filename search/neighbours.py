"""Patients like one patient, or like a vector: each once, by its best unit, and never the patient's own."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector, Description, Found, Hit, Payload, Points
from cohorts.connectors.checks import check_k
from cohorts.connectors.collection import EXTERNAL
from cohorts.connectors.filters.conditions import All, Filter, Not
from cohorts.connectors.index import SearchParams
from cohorts.connectors.padding import as_questions, padding_of
from cohorts.connectors.patients import as_kept, patient_field, patients_of, points_of
from cohorts.connectors.spread import warning_of
from cohorts.errors import InputError, PatientNotFound
from cohorts.records.window import WHOLE_STAY
from cohorts.search.absent_values import Lookup

Vector = npt.NDArray[np.float32]
WIDER = 4  # times as many points are asked for where they are of too few patients
WIDEST = 10_000  # points asked for at once; from then on the patients found are left out by a filter
FETCHED = 1_000
MAX_IDS = 500_000  # looked through for ids like one that is not there


@dataclass(frozen=True)
class Neighbours:
    """The hits, best first, how many were asked for (fewer may match), and what the search did otherwise.

    Each is the best unit of another patient, or, `per_unit`, any unit. `own` is what is stored of the patient that was
    asked for. `whole` says that nothing else matches. `description` is of the collection that was searched.
    """

    hits: list[Hit]
    asked: int
    description: Description
    notes: tuple[str, ...] = ()
    own: tuple[Payload, ...] = ()
    per_unit: bool = False
    whole: bool = True

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
class _Question:
    """What is asked of a collection: points near `vector` that pass `where`, but none of patient `own`."""

    connector: Connector
    description: Description
    name: str
    vector: Vector
    where: Filter | None
    params: SearchParams | None
    per_unit: bool
    own: str | None = None

    @property
    def collection(self) -> Collection:
        """Return what is described."""
        return self.description.collection

    def ask(self, many: int, without: Iterable[str]) -> Found:
        """Return the nearest points, without those of some patients."""
        where, field = self.where, patient_field(self.collection)
        if without and field:
            others = Not(points_of(self.collection, field, sorted(without)))
            where = others if where is None else All((where, others))
        return self.connector.search(self.name, self.vector[None, :], many, where=where, params=self.params)

    def absent(self) -> tuple[str, ...]:
        """Return what is to be said of the values that `where` asks for and nobody has."""
        if self.where is None:
            return ()
        lookup = Lookup(self.collection, self._any_passes, partial(self.connector.values, self.name))
        return lookup.absent(self.where)

    def _any_passes(self, where: Filter) -> bool:
        found = self.connector.search(self.name, self.vector[None, :], 1, where=where, with_payload=False)
        return bool(found.hits[0])

    def patients(self, hit: Hit) -> frozenset[str]:
        """Return whose a hit is."""
        return patients_of(patient_field(self.collection), hit.id, hit.payload)

    def answers(self, hits: Iterable[Hit]) -> list[Hit]:
        """Return each patient's best unit, or all units, but none of `own`. A unit of nobody stands for itself."""
        taken = {self.own} if self.own is not None else set()
        best = []
        for hit in sorted(hits, key=lambda one: -one.score):
            patients = self.patients(hit)
            if taken.isdisjoint(patients):
                best.append(hit)
                taken |= frozenset() if self.per_unit else patients
        return best


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
    """Return the k patients most like one, whose own units (admissions, chunks) count by their mean direction.

    Of every patient the best unit is returned; with `per_unit`, the k nearest units whosever they are.

    Raises CollectionNotFound, and PatientNotFound: it names the nearest ids, which are other patients', with `suggest`
    alone.
    """
    check_k(k, connector.abilities)
    description = connector.describe(name)
    collection = description.collection
    many, own = _own(connector, name, collection, patient_id)
    if not own.ids:
        raise _not_found(connector, name, collection, patient_id, suggest=suggest)
    patient = as_kept(collection, patient_field(collection), patient_id)
    mean = as_questions(own.vectors.mean(axis=0, keepdims=True), padding_of(collection))[0]
    question = _Question(connector, description, name, mean, where, params, per_unit, patient)
    notes: tuple[str, ...] = ()
    if many > len(own.ids):
        notes = (f"the patient has {many:,} units: {len(own.ids):,} of them were averaged",)
    return _neighbours(question, k, len(own.ids), notes, tuple(own.payloads))


def of_vector(
    connector: Connector,
    name: str,
    vector: Vector,
    k: int,
    *,
    where: Filter | None = None,
    params: SearchParams | None = None,
    per_unit: bool = False,
    patient_id: str | None = None,
    own: Sequence[Payload] = (),
    notes: tuple[str, ...] = (),
) -> Neighbours:
    """Return the k patients most like a vector, (dim,) float32, each by its best unit; or the k nearest units.

    One that was stored is asked by without its padding. Of a patient that was read anew, `patient_id` is no answer,
    `own` is what would be stored of it, and `notes` are told with the answers. Raises InputError for a vector of zeros.
    """
    check_k(k, connector.abilities)
    if not vector.any():
        raise InputError("The encoder knows no word of this text; describe the patient in other words.")
    description = connector.describe(name)
    padding = padding_of(description.collection)
    if padding is not None and vector[padding : padding + 1].any():
        vector = as_questions(vector[None, :], padding)[0]
    patient, many = None, 0
    if patient_id is not None:
        patient = as_kept(description.collection, patient_field(description.collection), patient_id)
        many, _ = _own(connector, name, description.collection, patient_id)
        if many:
            notes += ("the collection holds a patient of this id too, who is no answer",)
    question = _Question(connector, description, name, vector, where, params, per_unit, patient)
    return _neighbours(question, k, many, notes, tuple(own))


def _neighbours(
    question: _Question,
    k: int,
    own_units: int = 0,
    notes: tuple[str, ...] = (),
    own: tuple[Payload, ...] = (),
) -> Neighbours:
    """Ask for more and more points until they are of k patients, or there are no more.

    Where more are no use (one patient may have more than the engine gives at once), the patients found are left out
    and it begins anew: every such round finds another one.
    """
    limit = min(question.connector.abilities.max_k, max(WIDEST, WIDER * k))
    wanted, without = min(k + own_units, limit), frozenset[str]()
    pool: dict[str, Hit] = {}
    while True:
        found = question.ask(wanted, without)
        notes += found.notes
        pool |= {hit.id: hit for hit in found.hits[0]}
        best = question.answers(pool.values())
        whole = len(found.hits[0]) < wanted
        if whole or len(best) >= k:
            break
        if wanted < limit:
            wanted = min(WIDER * wanted, limit)
            continue
        left_out = _left_out(question, best)
        if left_out <= without:
            break
        wanted, without = min(k, limit), left_out
    best = best[:k]
    nobodys = sum(not question.patients(hit) for hit in best)
    if nobodys and not question.per_unit:
        notes += (f"{nobodys:,} of the answers name no patient: each stands for itself",)
    notes += question.absent()
    if warning := warning_of(question.connector, question.name, question.collection):
        notes += (warning,)
    return Neighbours(
        hits=best,
        asked=k,
        description=question.description,
        notes=tuple(dict.fromkeys(notes)),
        own=own,
        per_unit=question.per_unit,
        whole=whole,
    )


def _left_out(question: _Question, best: Iterable[Hit]) -> frozenset[str]:
    """Return the patients to look past: those that a filter can name, and none where the points' own ids are theirs."""
    field, own = patient_field(question.collection), question.own
    if field is None:
        return frozenset()
    found = frozenset(() if own is None else (own,))
    if not question.per_unit:
        found = found.union(*map(question.patients, best))
    return frozenset(one for one in found if as_kept(question.collection, field, one) is not None)


def _own(connector: Connector, name: str, collection: Collection, patient_id: str) -> tuple[int, Points]:
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


def _not_found(
    connector: Connector, name: str, collection: Collection, patient_id: str, *, suggest: bool
) -> PatientNotFound:
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
