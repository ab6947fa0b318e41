"""A saved cohort, as Python has it: its patients, and how they were found."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.analysis.saved import asking, members
from cohorts.analysis.saved.difference import Difference, difference
from cohorts.analysis.saved.exports import ExportFormat, export
from cohorts.analysis.saved.members import Members
from cohorts.connectors.base import Connector, Description, Hit
from cohorts.connectors.collection import POPULATION
from cohorts.connectors.collection import Collection as Definition
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.filters.writing import written
from cohorts.connectors.index import SearchParams, parse_search, show_index, show_search
from cohorts.connectors.patients import patient_field
from cohorts.errors import CollectionNotFound, InputError
from cohorts.progress import silent
from cohorts.saved_cohorts import (
    SavedCohort,
    SavedQuestion,
    check_new,
    read_cohort,
    remove_cohort,
    saved_names,
    write_cohort,
)
from cohorts.search.neighbours import records_seen
from cohorts.search.question import Question

if TYPE_CHECKING:
    from cohorts.analysis.compare.comparison import Comparison
    from cohorts.analysis.compare.matching import Match
    from cohorts.connectors.filters.conditions import Filter
    from cohorts.encoders.base import Encoder
    from cohorts.progress import ProgressCallback
    from cohorts.records.base import Source


@dataclass(frozen=True)
class Place:
    """A collection of a store and where its cohorts are kept: `kept_in`; events stand in `run_dir`."""

    connector: Connector
    name: str
    kept_in: Path
    run_dir: Path
    encoder: "Callable[[], Encoder]"

    def describe(self) -> Description:
        """Return what the engine says of the collection."""
        return self.connector.describe(self.name)

    def ids(self) -> Iterator[str]:
        """Yield the ids of all units that the collection holds; its vectors are read with them."""
        for page in self.connector.scroll(self.name):
            yield from page.ids


class Cohort:
    """A saved cohort of a collection; `collection.cohort(name)` and `collection.make_cohort` return it.

    What it holds is what the file holds, as it was read or, after `refresh`, written.
    """

    def __init__(self, place: Place, saved: SavedCohort, notes: tuple[str, ...] = ()) -> None:
        self._place, self._saved, self.notes = place, saved, notes

    @property
    def name(self) -> str:
        """Return its name."""
        return self._saved.name

    @property
    def patients(self) -> tuple[str, ...]:
        """Return its patients, each once: best first where they were searched for."""
        return tuple(dict.fromkeys(self._saved.patients))

    @property
    def units(self) -> tuple[str, ...]:
        """Return its units (patients, or admissions), one of each patient unless it was made per unit."""
        return self._saved.units

    @property
    def about(self) -> SavedCohort:
        """Return all that the file holds: the question, the encoder's fingerprint, the window, index and date."""
        return self._saved

    @property
    def place(self) -> Place:
        """Return the collection that it is of, and the folders of its runs."""
        return self._place

    @property
    def state(self) -> str:
        """Return what became of its collection since it was made, in words; "" where the same encoder made it."""
        try:
            now = fingerprint_of(self._place.describe().collection)
        except CollectionNotFound:
            return f"collection {self._saved.collection} is gone"
        if now == self._saved.encoder:
            return ""
        return (
            f"the vectors of {self._saved.collection} are of another encoder now ({now or 'made by others'}) than when "
            f"the cohort was made ({self._saved.encoder or 'made by others'})"
        )

    def refresh(self, *, search: SearchParams | str | None = None, anyway: bool = False) -> Difference:
        """Make the cohort again as it was made, keep it, and return who came and who went.

        What an exact search found is found again by an exact search, whichever engine holds the same vectors. What an
        index found may differ; the overlap tells by how much.

        Args:
            search: Search with these parameters from now on, as in `"exact=true"`, and not with those of before.
            anyway: Make it by the collection's vectors of today, though another encoder made them.

        Raises:
            InputError: Another encoder made the collection's vectors, or the question lacks a patient who was erased.
        """
        question = self._saved.question
        if question.erased:
            raise InputError(
                f"Cohort {self.name} can't be made again: its question named a patient who was erased. It stays as it "
                "is; make another one."
            )
        if changed := self.state:
            if not anyway:
                raise InputError(
                    f"Cohort {self.name} can't be made again as it was: {changed}.",
                    remedy="Ask for it anyway, or make another cohort.",
                    hint="refresh_anyway",
                )
            asking.check_no_vectors(question)
        if search is not None:
            if question.kind != "examples":
                raise InputError(
                    f"Cohort {self.name} is made without a search: it takes no search parameters."
                )
            params = parse_search(search) if isinstance(search, str) else search
            question = replace(question, search=show_search(params))
        before, made = self._saved, made_by(self._place, question)
        self._saved = _saved(self._place, self.name, question, made)
        self.notes = made.notes
        write_cohort(self._place.kept_in, self._saved)
        return difference(
            (self.name, before.patients), (self.name, self._saved.patients), _otherwise(before, self._saved)
        )

    def diff(self, other: "Cohort | str") -> Difference:
        """Return who is in both cohorts and who in one alone, by patient.

        Args:
            other: A cohort, of another collection too, or the name of one of this collection.
        """
        if isinstance(other, str):
            other = open_cohort(self._place, other)
        return difference((self.name, self.patients), (other.name, other.patients))

    def compare(
        self,
        other: "Cohort | str | None" = None,
        *,
        outcomes: "Iterable[str] | str" = (),
        match: "Match | str" = "nearest",
        follow_up: str | int | None = None,
        source: "Source | None" = None,
        anyway: bool = False,
        min_cell: int = 11,
        progress: "ProgressCallback | None" = None,
    ) -> "Comparison":
        """Compare the cohort with another group: who they are, how it ended, what was done. An association, no effect.

        Args:
            other: A cohort of the same collection or its name, `"rest"` (everybody else), `"matched"` (a partner for
                each patient among the rest), or None for the cohort alone.
            outcomes: `length-of-stay`, `death-in-hospital`, `death`, `readmission`; by default all that the window of
                the collection's vectors allows.
            match: How partners are found: `"nearest"` by age, sex, type and year of admission, or by `"propensity"`.
            follow_up: How many days after discharge all deaths are known, as in `"365d"`, where the source does not
                tell, or you know better.
            source: What `open_source` returns, for the records, where none were kept beside the collection.
            anyway: Tell of outcomes that the vectors may have seen too; the result is marked.
            min_cell: Hide counts of fewer patients, and what would give them away; 1 hides nothing.
            progress: Called with what is read.

        Raises:
            InputError: A group is too small, or differs by a few patients from one that was compared before; an
                outcome is asked for that the vectors may have seen; or there are no records.
        """
        from cohorts.analysis.compare.comparing import compare
        from cohorts.analysis.compare.comparison import MATCHED, REST, Asked, Held, parse_days
        from cohorts.analysis.compare.groups import Members as Compared
        from cohorts.analysis.compare.matching import Match
        from cohorts.analysis.compare.records_of import records_of

        if isinstance(other, str) and other not in (REST, MATCHED):
            other = open_cohort(self._place, other)
        with_whom = (
            Compared(other.name, other.units, other._saved.patients) if isinstance(other, Cohort) else other
        )
        asked = Asked(
            cohort=Compared(self.name, self.units, self._saved.patients),
            against=with_whom,
            outcomes=[outcomes] if isinstance(outcomes, str) else list(outcomes),
            match=Match(match),
            follow_up=None if follow_up is None else parse_days(str(follow_up)),
            anyway=anyway,
            min_cell=min_cell,
        )
        described = self._place.describe()
        collection = replace(described.collection, name=self._place.name)
        tick = progress or silent
        with records_of(collection, self._place.run_dir, self._place.kept_in, source, tick) as records:
            if population := str(collection.metadata.get(POPULATION) or ""):
                records = replace(records, held=Held(population, self._place.ids))
            return compare(records, asked, tick)

    def export(
        self, file: Path | str, form: ExportFormat | str = ExportFormat.CSV, *, definition_id: int = 1
    ) -> tuple[str, ...]:
        """Write the cohort to a new file, readable by its owner alone; return what is to be told of it.

        Args:
            file: What to write; it must not be there yet.
            form: `csv` or `parquet` (unit, patient, score), `omop` (rows of OMOP's COHORT as CSV), or `fhir` (a
                Group of FHIR R4 as JSON).
            definition_id: OMOP's cohort_definition_id.

        Raises:
            InputError: The file is there already, or the ids or the records don't allow the form.
        """
        if form not in tuple(ExportFormat):
            raise InputError(f"A cohort is exported as {', '.join(ExportFormat)}; got {str(form)[:80]!r}.")
        described = self._place.describe().collection if form == ExportFormat.OMOP else None
        return export(
            self._saved, Path(file), ExportFormat(form), definition_id, described, self._place.run_dir
        )

    def remove(self) -> None:
        """Remove its file."""
        remove_cohort(self._place.kept_in, self.name)

    def __len__(self) -> int:
        """Return how many patients it has."""
        return len(set(self._saved.patients))

    def __repr__(self) -> str:
        """Return its name, how many patients, and of what: no patient."""
        synthetic = ", synthetic: invented patients, no clinical meaning" if self._saved.synthetic else ""
        return f"<Cohort {self.name}: {len(self):,} patients of {self._saved.collection}{synthetic}>"


def fingerprint_of(collection: Definition) -> str:
    """Return the fingerprint of what made a collection's vectors, "" where others did."""
    return str(collection.metadata.get("encoder_fingerprint") or "")


def cohort_names(place: Place) -> list[str]:
    """Return the names of a collection's cohorts, sorted."""
    return saved_names(place.kept_in)


def open_cohort(place: Place, name: str) -> Cohort:
    """Return a cohort that was saved. Raises InputError."""
    return Cohort(place, read_cohort(place.kept_in, name))


def make_cohort(place: Place, name: str, question: SavedQuestion) -> Cohort:
    """Find who a question asks for, and save them. Raises InputError."""
    check_new(place.kept_in, name)
    made = made_by(place, question)
    return keep(place, name, question, made)


def keep(place: Place, name: str, question: SavedQuestion, made: Members) -> Cohort:
    """Save members as a new cohort. Raises InputError where there is one of this name."""
    check_new(place.kept_in, name)
    saved = _saved(place, name, question, made)
    write_cohort(place.kept_in, saved)
    return Cohort(place, saved, made.notes)


def question_of(
    *,
    where: "Filter | None" = None,
    ids: tuple[str, ...] | None = None,
    phenotype: str | None = None,
    per_unit: bool = False,
) -> SavedQuestion:
    """Return the question of a cohort that is made without a search. Raises InputError unless one thing is asked."""
    if sum(one is not None for one in (where, ids, phenotype)) != 1:
        raise InputError(
            "A cohort is made by exactly one of a filter, ids and a phenotype.", hint="make_cohort"
        )
    if where is not None:
        return SavedQuestion(kind="filter", where=written(where), per_unit=per_unit)
    if ids is not None:
        return SavedQuestion(kind="ids", ids=ids, per_unit=per_unit)
    members.check_phenotype(str(phenotype))
    return SavedQuestion(kind="phenotype", phenotype=str(phenotype), per_unit=per_unit)


def made_by(place: Place, question: SavedQuestion) -> Members:
    """Return who a question asks for. Raises InputError."""
    collection = replace(place.describe().collection, name=place.name)
    match question.kind:
        case "examples":
            return asking.ask(place.connector, place.name, question, lambda: place.encoder().encode_text)
        case "filter":
            where = parse_filter(question.where)
            return members.by_filter(
                place.connector, collection, where, place.run_dir, per_unit=question.per_unit
            )
        case "ids":
            return members.by_ids(
                place.connector, collection, question.ids, place.run_dir, per_unit=question.per_unit
            )
        case "phenotype":
            return members.by_phenotype(
                place.connector, collection, question.phenotype, place.run_dir, per_unit=question.per_unit
            )
    raise InputError("A cohort of this question can't be made again.")


def keep_found(
    place: Place, name: str, question: Question, hits: Iterable[Hit], *, sealed: Collection[str] = ()
) -> Cohort:
    """Save who was found by a question as a new cohort; its texts in `sealed` are not kept. Raises InputError."""
    check_new(place.kept_in, name)
    encode = place.encoder().encode_text if sealed else None
    made = members.of_hits(patient_field(place.describe().collection), hits)
    return keep(place, name, asking.kept(question, sealed, encode), made)


def _otherwise(before: SavedCohort, now: SavedCohort) -> tuple[str, ...]:
    """Return what is to be said of how a cohort was found before and now."""
    pairs = (
        ("engine", before.engine, now.engine),
        ("index", before.index, now.index),
        (
            "search",
            before.question.search or "the collection's own",
            now.question.search or "the collection's own",
        ),
        ("window", before.as_of, now.as_of),
    )
    changed = [f"the {what} was {old} and is {new}" for what, old, new in pairs if old != new]
    if not now.exact:
        changed.append(
            f"found by the index {now.index}: who is found may change though no record does; an exact search "
            "rules that out"
        )
    return tuple(changed)


def _saved(place: Place, name: str, question: SavedQuestion, made: Members) -> SavedCohort:
    description = place.describe()
    collection = description.collection
    return SavedCohort(
        name=name,
        collection=place.name,
        engine=description.engine,
        index=show_index(collection.index),
        exact=question.kind != "examples" or description.exact or "exact=true" in question.search,
        encoder=fingerprint_of(collection),
        as_of=records_seen(collection),
        unit=str(collection.metadata.get("unit") or ""),
        synthetic=bool(collection.metadata.get("synthetic")),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        question=question,
        units=made.units,
        patients=made.patients,
        scores=made.scores,
    )
