"""A store of collections, and a collection that is asked."""

import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cohorts import given
from cohorts.connectors.base import Connector, Description, Points
from cohorts.connectors.checks import check_name
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import SearchParams
from cohorts.connectors.patients import patient_field, patients_of
from cohorts.documents import read_json
from cohorts.errors import InputError
from cohorts.given import Count, Id
from cohorts.search import neighbours
from cohorts.search.found import Found, to_found
from cohorts.search.question import Example, Kind, Question, examples_of
from cohorts.search.store import check_is_own, own_encoder, take_mapping
from cohorts.workspace import default_run_dir, kept_encoder

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt
    import pandas as pd
    from cohorts.analysis.evidence import Passage
    from cohorts.analysis.recruit.profile import Profile
    from cohorts.analysis.recruit.recruited import Recruited
    from cohorts.analysis.saved.cohort import Cohort, Place
    from cohorts.encoders.base import Encoder
    from cohorts.records.base import Source


class Store:
    """A store of collections, as `connect` returns it; a context manager that closes it."""

    def __init__(self, connector: Connector, address: str, runs: Path | None = None) -> None:
        self.connector, self.address, self._runs = connector, address, runs
        weakref.finalize(self, connector.close)

    def collections(self) -> list[str]:
        """Return the names of the collections, sorted; of others too, where the engine holds some."""
        aliases = self.connector.aliases()
        return sorted({*self.connector.collections(), *aliases} - {*aliases.values()})

    def collection(self, name: str, *, encoder: "Encoder | object | None" = None) -> "CollectionHandle":
        """Return a collection that is there, to be asked: one of ours, or one mapped by `cohorts attach`.

        Its own encoder is found by its fingerprint where the ingest kept it, and checked, at the first query by text.
        An object of yours that made the vectors is not found so: give it as `encoder`.

        Raises:
            CollectionNotFound: The store has no collection of this name.
            FingerprintMismatch: `encoder` is not the one that made the vectors.
        """
        check_name(given.as_text("name", name))
        take_mapping(self.connector, self.address, name)
        about = self.connector.describe(name)
        if encoder is None:
            return CollectionHandle(self, name)
        from cohorts.encoders.adapted import adapt

        own = adapt(encoder, fitted=True)
        check_is_own(about.collection, own)
        return CollectionHandle(self, name, own)

    def run_dir(self, name: str) -> Path:
        """Return the folder of a collection's encoder, journal, manifest and list of bad rows."""
        check_name(name)
        return default_run_dir(self.address, name) if self._runs is None else self._runs / name

    def close(self) -> None:
        """Release the engine; safe to call twice. A client that was passed in is left open."""
        self.connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.address}>"


class CollectionHandle:
    """A collection of a store, to be asked; `store.collection` and `ingest` return it."""

    def __init__(self, store: Store, name: str, encoder: "Encoder | None" = None) -> None:
        self.store, self.name = store, name
        self._encoder = encoder

    def like_patient(
        self,
        patient: Id,
        k: Count = 10,
        *,
        where: str | Filter | None = None,
        search: SearchParams | Mapping[str, Any] | str | None = None,
        per_unit: bool = False,
        suggest: bool = False,
    ) -> Found:
        """Return the k patients most like one, who is never an answer.

        Several units of the patient (admissions, pieces of text) count by their mean direction.

        Args:
            patient: The patient's id, as text or as a whole number.
            k: How many neighbours.
            where: Only among these, as in `"age >= 60 and sex = 'F'"`.
            search: How hard to search, as in `"ef_search=128"` or `"exact=true"`.
            per_unit: Return every unit that is near, not each patient once by the best one.
            suggest: Where the patient is not there, name the nearest ids, which are other patients'.

        Raises:
            PatientNotFound: The collection holds no such patient.
            FilterError: `where` can't be understood.
        """
        return self._ask(
            examples_of([given.as_id("patient", patient)]),
            k,
            where=where,
            search=search,
            per_unit=per_unit,
            suggest=suggest,
        )

    def like(
        self,
        patients: "Id | Iterable[Id] | pd.Series[Any] | npt.NDArray[Any]" = (),
        texts: str | Iterable[str] = (),
        vectors: "Iterable[npt.ArrayLike]" = (),
        k: Count = 10,
        *,
        any_of: bool = False,
        contrast: bool | None = None,
        weights: "Iterable[float] | str" = (),
        unlike: "Id | Iterable[Id] | pd.Series[Any] | npt.NDArray[Any]" = (),
        unlike_texts: str | Iterable[str] = (),
        unlike_weight: float | None = None,
        where: str | Filter | None = None,
        search: SearchParams | Mapping[str, Any] | str | None = None,
        per_unit: bool = False,
        as_written: bool = False,
        suggest: bool = False,
    ) -> Found:
        """Return the k patients most like several examples, none of whom is an answer.

        They are asked by as one: by the mean of the examples' directions. What was asked stands in the `question` of
        what is returned, and how the examples counted among its notes.

        Args:
            patients: Ids of patients in the collection.
            texts: Descriptions, which the collection's own encoder reads, as in `like_text`.
            vectors: Vectors of the encoder's space, each (dim,).
            k: How many neighbours.
            any_of: Score a patient by the nearest example, instead of by their mean.
            contrast: Take out of the mean what everybody (of `where`) has in common; by default from 10 examples on.
            weights: What each example counts in the mean: one for each patient, then each text, then each vector.
            unlike: Ids of patients to point away from: their mean direction is subtracted.
            unlike_texts: Descriptions to point away from; without `unlike_weight` they are told and not subtracted,
                because subtraction is not negation.
            unlike_weight: How much of what is unlike is subtracted, where like counts 1; by default .2 of a patient's
                and nothing of a text's.
            where: Only among these, as in `like_patient`; so are the rest.

        Raises:
            PatientNotFound: The collection holds no such patient.
            InputError: The examples cancel out, nobody to be like is named, or weights don't fit.
            NoText: Texts are given, and the encoder reads none.
        """
        examples = examples_of(
            given.as_ids("patients", patients),
            given.as_texts("texts", texts),
            [given.as_vector(one).tolist() for one in vectors],
            weights=given.as_numbers("weights", weights),
            unlike=given.as_ids("unlike", unlike),
            unlike_texts=given.as_texts("unlike_texts", unlike_texts),
            unlike_weight=None if unlike_weight is None else given.as_number("unlike_weight", unlike_weight),
        )
        return self._ask(
            examples,
            k,
            any_of=given.as_flag("any_of", any_of),
            contrast=None if contrast is None else given.as_flag("contrast", contrast),
            where=where,
            search=search,
            per_unit=per_unit,
            as_written=given.as_flag("as_written", as_written),
            suggest=suggest,
        )

    def like_text(
        self,
        text: str,
        k: Count = 10,
        *,
        where: str | Filter | None = None,
        search: SearchParams | Mapping[str, Any] | str | None = None,
        per_unit: bool = False,
        as_written: bool = False,
    ) -> Found:
        """Return the k patients most like a description, which the collection's own encoder reads.

        What it negates, as in "no history of heart failure", is no part of what is looked for: where a phenotype is
        called so, patients with such a diagnosis are left out; the notes of what is returned tell.

        Args:
            text: The description.
            k: How many neighbours.
            where: Only among these, as in `like_patient`; so are `search` and `per_unit`.
            as_written: Take the text as it is, as a note of a patient's.

        Raises:
            NoText: The encoder reads no text.
            EncoderError: The encoder that made the vectors is not where the ingest kept it.
            FingerprintMismatch: What is kept there is another one.
        """
        examples = examples_of(texts=[given.as_text("text", text)])
        how = given.as_flag("as_written", as_written)
        return self._ask(examples, k, where=where, search=search, per_unit=per_unit, as_written=how)

    def like_vector(
        self,
        vector: "npt.ArrayLike | pd.Series[Any]",
        k: Count = 10,
        *,
        where: str | Filter | None = None,
        search: SearchParams | Mapping[str, Any] | str | None = None,
        per_unit: bool = False,
    ) -> Found:
        """Return the k patients most like a vector of the encoder's space.

        Args:
            vector: Numbers (dim,) or (1, dim), of any length but 0: the direction counts. An array, a list or a column.
            k: How many neighbours; this and the rest are as in `like_patient`.

        Raises:
            VectorError: It is of another size, holds NaN, or is all zeros.
        """
        examples = examples_of(vectors=[given.as_vector(vector).tolist()])
        return self._ask(examples, k, where=where, search=search, per_unit=per_unit)

    def like_new(
        self,
        source: "Source",
        k: Count = 10,
        *,
        patient: Id | None = None,
        where: str | Filter | None = None,
        search: SearchParams | Mapping[str, Any] | str | None = None,
        per_unit: bool = False,
    ) -> Found:
        """Return the k patients most like one whom the collection does not hold: nothing of it is ingested.

        Its notes, codes and values go through the collection's own encoder, with its window; what that could not use is
        among the notes of the answer. A patient of the same id in the collection is no answer.

        Args:
            source: What `open_source` returns, with the collection's unit: the records of the one patient.
            k: How many neighbours.
            patient: The patient's id, where the source holds several.
            where: Only among these, as in `like_patient`; so are the rest.

        Raises:
            InputError: The source holds no such patient, several and none is named, or nothing that can be used.
            SourceError: The source can't be read.
            EncoderError: The encoder that made the vectors is not where the ingest kept it.
        """
        from cohorts.search.new_patient import check_unit, encode_patient

        check_unit(self.name, self.describe().collection, source)
        new = encode_patient(
            source, self.encoder, None if patient is None else given.as_id("patient", patient)
        )
        asked = Example(kind=Kind.NEW, value=new.id, vector=tuple(new.vector.tolist()))
        return self._ask((asked,), k, where=where, search=search, per_unit=per_unit, notes=new.notes)

    def evidence(self, found: Found, source: "Source") -> "list[Passage | None]":
        """Return, for each of the first 100 found, the passage of its notes that fits the question best, or None.

        It is read from the source now, within the collection's window, and nothing of it is kept. It fits by the words
        of the texts asked by, and of the notes of the patients asked by.

        Args:
            found: What a question of this collection returned.
            source: What `open_source` returns, with the collection's unit: the records of who was found.

        Raises:
            InputError: It was found in another collection.
            SourceError: The source can't be read.
        """
        from cohorts.analysis.evidence import read_passages

        if not isinstance(found, Found) or found.question is None or found.collection != self.name:
            raise given.refused("found", f"what a question of collection {self.name} found", found)
        field = patient_field(self.describe().collection)
        whose = [patients_of(field, hit.id, hit.payload) for hit in found]
        return read_passages(source, found.hits, whose, found.question, found.as_of)

    def fetch(self, ids: "Id | Iterable[Id] | pd.Series[Any] | npt.NDArray[Any]") -> Points:
        """Return the units that are there among some ids, in the order asked: `ids`, `vectors`, `payloads`.

        The vectors are (n, dim) float32 unit rows. A unit's id is the patient's, or the admission's where one vector
        stands for an admission.
        """
        return self.store.connector.fetch(self.name, given.as_ids("ids", ids))

    def count(self, where: str | Filter | None = None) -> int:
        """Return the exact number of units, of those that match `where` if it is given."""
        return self.store.connector.count(self.name, given.as_filter(where))

    def describe(self) -> Description:
        """Return what the engine says of the collection: dimension, index, metric, count, metadata."""
        return self.store.connector.describe(self.name)

    def cohorts(self) -> list[str]:
        """Return the names of the collection's saved cohorts, sorted."""
        from cohorts.saved_cohorts import saved_names

        return saved_names(self.store.run_dir(self.name))

    def cohort(self, name: str) -> "Cohort":
        """Return a cohort that was saved. Raises InputError where there is none of this name, or it can't be read."""
        from cohorts.analysis.saved.cohort import open_cohort

        return open_cohort(self._place(), given.as_text("name", name))

    def make_cohort(
        self,
        name: str,
        *,
        where: str | Filter | None = None,
        ids: "Id | Iterable[Id] | pd.Series[Any] | npt.NDArray[Any] | None" = None,
        phenotype: str | None = None,
        per_unit: bool = False,
    ) -> "Cohort":
        """Save the patients who pass a filter, who are named, or who have a phenotype, as a cohort, and return it.

        Args:
            name: Letters, digits, `_` and `-`; there must be no cohort of this name yet.
            where: All who pass this filter, as in `"age >= 60 and sex = 'F'"`.
            ids: Patients by id; those that the collection lacks are counted in the cohort's `notes`.
            phenotype: All with a diagnosis that defines it, in the events kept beside the collection, as in `"sepsis"`.
            per_unit: Save every admission, not each patient once by the first one.

        Raises:
            InputError: Not exactly one of the three is given, the name is taken, there is no such phenotype, or no
                events were kept.
        """
        from cohorts.analysis.saved.cohort import make_cohort, question_of

        question = question_of(
            where=given.as_filter(where),
            ids=None if ids is None else tuple(given.as_ids("ids", ids)),
            phenotype=None if phenotype is None else given.as_text("phenotype", phenotype),
            per_unit=given.as_flag("per_unit", per_unit),
        )
        return make_cohort(self._place(), given.as_text("name", name), question)

    def save(self, name: str, found: Found) -> "Cohort":
        """Save who was found as a cohort, with the question, to be asked again; return it.

        A text that was asked by is kept as it is, in a file that is its owner's alone.

        Args:
            name: Letters, digits, `_` and `-`; there must be no cohort of this name yet.
            found: What `like_patient`, `like` or another question of this collection returned.

        Raises:
            InputError: The name is taken, or it was found in another collection.
        """
        from cohorts.analysis.saved.cohort import keep_found

        if not isinstance(found, Found) or found.question is None or found.collection != self.name:
            raise given.refused("found", f"what a question of collection {self.name} found", found)
        return keep_found(self._place(), given.as_text("name", name), found.question, found.hits)

    def recruit(
        self,
        profile: "Profile | given.PathLike",
        k: Count = 20,
        *,
        as_of: "date | str | None" = None,
        min_cell: Count = 11,
    ) -> "Recruited":
        """Return the patients who meet a profile or may, best first, and what each of its criteria costs.

        Args:
            profile: A TOML file of criteria (docs/recruit.md), or a `Profile`.
            k: How many patients to list.
            as_of: Records after this day don't count, as in `"2101-10-20"`.
            min_cell: Counts of fewer patients are None, but none of 0.

        Raises:
            InputError: The profile can't be used, no events were kept beside the collection, or values of an item stand
                in several units and none is named.
        """
        from datetime import date

        from cohorts.analysis.recruit.profile import Profile, read_profile
        from cohorts.analysis.recruit.recruiting import recruit

        asked = profile if isinstance(profile, Profile) else read_profile(given.as_path("profile", profile))
        try:
            day = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
        except ValueError:
            raise InputError(f"as_of takes a day, as in '2101-10-20'; got {as_of!r}.") from None
        many = given.as_count("k", k)
        return recruit(self._place(), asked, k=many, as_of=day, min_cell=given.as_count("min_cell", min_cell))

    @property
    def encoder(self) -> "Encoder":
        """Return the encoder that made the vectors, loaded once. Raises EncoderError, FingerprintMismatch."""
        if self._encoder is None:
            collection = self.describe().collection
            made_by = collection.metadata.get("encoder_fingerprint")
            self._encoder = own_encoder(collection, kept_encoder(self.store.run_dir(self.name), made_by))
        return self._encoder

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return what the last ingest on this machine read, wrote and took; empty where there was none."""
        file = self.store.run_dir(self.name) / "manifest.json"
        return read_json(file, dict[str, Any]) if file.exists() else {}

    def __repr__(self) -> str:
        return f"<Collection {self.name} in {self.store.address}>"

    def _place(self) -> "Place":
        from cohorts.analysis.saved.cohort import Place

        folder = self.store.run_dir(self.name)
        return Place(self.store.connector, self.name, folder, folder, lambda: self.encoder)

    def _ask(
        self,
        examples: tuple[Example, ...],
        k: Count,
        *,
        where: str | Filter | None,
        search: SearchParams | Mapping[str, Any] | str | None,
        per_unit: bool,
        any_of: bool = False,
        contrast: bool | None = None,
        as_written: bool = False,
        suggest: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Found:
        question = Question(
            examples=examples,
            k=given.as_count("k", k),
            any_of=any_of,
            contrast=contrast,
            where=given.as_filter(where),
            params=given.as_search(search),
            per_unit=given.as_flag("per_unit", per_unit),
            as_written=as_written,
        )
        encode = self.encoder.encode_text if question.reads_text else None
        found = neighbours.of_question(
            self.store.connector,
            self.name,
            question,
            encode,
            suggest=given.as_flag("suggest", suggest),
            notes=notes,
        )
        return to_found(found, self.name)
