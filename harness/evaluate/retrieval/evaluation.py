"""Runs the questions through every encoder, baseline and index; what was ranked already is not ranked again.

The raw results, who was found for whom, are kept way by way and fold by fold; figures are computed from them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cohorts.connectors.base import Collection
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.padding import as_questions
from cohorts.connectors.registry import connect
from cohorts.documents import read_json
from cohorts.encoders.pooling import filled_rows, unit_rows
from cohorts.errors import EncoderError, InputError
from cohorts.harness.evaluate.base import Run, Task, Told, figures, rows_of
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder, check_names, tfidf_baseline
from cohorts.harness.evaluate.data.splits import listed
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.harness.evaluate.retrieval.figures import Answers, graded_figures, of_answers
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, agreement, read_judgements
from cohorts.harness.evaluate.retrieval.leaks import find_leaks, shared_patients, verdict
from cohorts.harness.evaluate.retrieval.population import CohortBy, Population, read_labelled, read_patients
from cohorts.harness.evaluate.retrieval.proxies import find_proxies, suppressed
from cohorts.harness.evaluate.retrieval.questions import Fold, deal
from cohorts.harness.evaluate.retrieval.rankings import EXACT, Ranking, Way, rank_exactly, rank_through
from cohorts.harness.evaluate.retrieval.reasons import Reasons, explain, read_reasons
from cohorts.harness.evaluate.retrieval.routes import Route
from cohorts.harness.evaluate.retrieval.scorers import (
    OF_CODES,
    OF_NOTES,
    RANDOM,
    AtRandom,
    ByVectors,
    Scorer,
    Seen,
)
from cohorts.harness.evaluate.retrieval.tables import GRADES, SHEETS, read
from cohorts.provenance import write_manifest
from cohorts.records.base import Source
from cohorts.records.transforms import Subset
from cohorts.records.window import Window, seen
from cohorts.records.withheld import Withheld, WithheldSource, parse_withheld
from cohorts.reports.long_table import FAULT, Record

KS = (10, 50, 100, 200)
IDENTITY = "questions.json"


@dataclass(frozen=True, kw_only=True)
class RetrievalTask(Task[Source]):
    """What to ask, of whom, and through what; rankings are kept in the folder `out`.

    Patients are judged by `cohorts` (all where none is named), notes by `labels`, of which they share any. Encoders see
    the records without the cohorts' codes, with `mask_notes` also without their mentions, with `leave_codes` also all.
    Raises InputError where labelled notes have nothing to withhold, two encoders have one name, or a judgement is none.
    """

    name = "retrieval"
    packages = (
        *("numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers", "pymilvus", "qdrant-client"),
    )
    sheets = SHEETS
    contestants: Sequence[NamedEncoder]
    out: Path
    cohorts: Sequence[str] = ()
    cohort_by: CohortBy = CohortBy.ANY
    window: Window | None = None
    labels: Sequence[str] = ()
    mask_notes: bool = False
    leave_codes: bool = False
    routes: Sequence[Route] = ()
    ks: Sequence[int] = KS
    queries: int = 100
    folds: int = 1
    seed: int = 0
    judgements: Path | None = None

    def __post_init__(self) -> None:
        if self.labels and (self.cohorts or self.mask_notes or self.leave_codes):
            raise InputError(
                "Notes are judged by their labels alone: there are no cohorts, and nothing is withheld.",
                remedy="Leave out either the labels or the rest.",
                hint="labels_alone",
            )
        check_names([*self.contestants, tfidf_baseline()])
        _ = self.views  # whose names are checked
        if self.judgements:
            read_judgements(self.judgements)

    @cached_property
    def views(self) -> dict[str, Withheld | None]:
        """Return what encoders may see, by name; None is everything. Raises EncoderError for an unknown phenotype."""
        if self.labels:
            return {"notes as they are": None}
        names = parse_withheld(",".join(self.cohorts) or "all", text=False).phenotypes
        views: dict[str, Withheld | None] = {"codes withheld": Withheld(names)}
        if self.mask_notes:
            views["codes and mentions withheld"] = Withheld(names, text=True)
        if self.leave_codes:
            views["nothing withheld"] = None
        return views

    def frames(self, run: Run) -> dict[str, pd.DataFrame]:
        """Return every sheet as it is written; one of grades only where there are any."""
        return {
            name: frame for name, frame in super().frames(run).items() if len(frame) or name not in GRADES
        }

    def told(self, run: Run) -> Told:
        """Return how the figures are read."""
        return read(run, self.frames(run))

    def measure(self, given: Source, run: Run) -> Iterator[Record]:
        """Rank for every question, in every way, and yield all figures.

        Raises InputError, EncoderError, EngineError.
        """
        if self.labels:
            population = read_labelled(given, self.labels)
        else:
            population = read_patients(given, self.cohorts, self.cohort_by)
        judged = {"judged": Judged(self.judgements, population)} if self.judgements else {}
        ks = self._within(len(population))
        folds = deal(population, self.folds, self.queries, self.seed)
        self._check_same(given, population, ks)
        if not population.has_notes:
            run.tell("The source has no notes: TF-IDF and BM25 are left out.")
        ranked, leaks = _Ranked(), list[Record]()
        for name, withheld in self.views.items():
            known = seen(given, self.window)
            left = WithheldSource(known, withheld) if withheld else known
            view = _View(name, left, self, population, ks, run, ranked)
            if not population.any_shared:
                run.begin("looking for leaks")
                found, late = find_leaks(name, population.cohorts, given.batches(), left.batches())
                leaks += found
                yield from rows_of("leaks", found, "view", "cohort")
                yield from rows_of("notes", [late], "view")
                words = view.read
                run.begin("looking for proxies")
                proxies = suppressed(find_proxies(name, population, left, words))
                yield from rows_of("proxies", proxies, "view", "cohort", "feature")
            for fold in folds:
                view.rank_all(fold)
        run.stages.end()
        self._describe(run, population, folds, ks, leaks)
        yield from ranked.told(len(self.views) * len(self.contestants))
        answers = Answers(population, folds, ranked.found, ranked.reasons)
        every, asked = list(of_answers(answers, ks)), answers.asked.cohort.tolist()
        yield from every
        published = as_published.table_of(given.name)
        yield from as_published.beside(every, asked, self.contestants, self.routes, published)
        by_records = {} if population.any_shared else {"graded": OfRecords(given, population.cohorts)}
        for sheet, grades in (by_records | judged).items():
            yield from graded_figures(sheet, answers, grades, ks)
        if by_records and judged:
            correlation, pairs = agreement(by_records["graded"], judged["judged"])
            yield from figures("agreement", {}, spearman=correlation, pairs=pairs)

    def _describe(
        self,
        run: Run,
        population: Population,
        folds: Sequence[Fold],
        ks: Sequence[int],
        leaks: Sequence[Record],
    ) -> None:
        """Keep what is needed to measure the same again, and what could flatter it."""
        shared = shared_patients(population, folds)
        run.facts |= {
            "plan": {
                "encoders": {one.name: one.spec for one in self.contestants},
                "views": list(self.views),
                "routes": [one.name for one in self.routes],
                "k": list(ks),
                "queries": self.queries,
                "folds": self.folds,
                "seed": self.seed,
                "cohort_by": population.by,
            },
            "units": len(population),
            "questions": sum(map(len, folds)),
            "patients_asked_about_and_learnt_from": shared,
            "trained_elsewhere": [one.name for one in self.contestants if one.trained],
            "faults": verdict(leaks, shared),
        }

    def _within(self, units: int) -> list[int]:
        """Return the depths that not everybody would be within. Raises InputError where none is left."""
        ks = [k for k in self.ks if k < units - 1]
        if not ks:
            raise InputError(
                f"{units:,} units are too few for k = {', '.join(map(str, self.ks))}.",
                remedy="Give a smaller k.",
                hint="smaller_k",
            )
        return ks

    def _check_same(self, source: Source, population: Population, ks: Sequence[int]) -> None:
        """Raise InputError where the folder holds the answers to other questions."""
        asked: dict[str, Any] = {
            "source": source.fingerprint,
            "cohorts": population.any_shared or population.cohorts,
            "k": list(ks),
            "queries": self.queries,
            "folds": self.folds,
            "seed": self.seed,
        }
        if population.by is not CohortBy.ANY:  # which it was before there was a choice
            asked["cohort_by"] = population.by
        if self.window is not None:
            asked["as_of"] = str(self.window)
        if not population.any_shared:
            asked["implied"] = "withheld"  # what was ranked before saw codes that imply a cohort
        file = self.out / IDENTITY
        if file.exists() and read_json(file, dict[str, Any], remedy=f"Remove {self.out}.") != asked:
            raise InputError(
                f"{self.out} holds the answers to other questions (of another source, cohorts, k, number, folds, "
                "seed or window, or by an earlier version).",
                remedy="Take another folder, or remove it.",
                hint="another_out",
            )
        write_manifest(file, asked)


@dataclass(frozen=True)
class _Ranked:
    """What was found: the rankings of every way, fold by fold.

    By view and encoder, `reasons` are those of who is asked about, where it explains itself, and `not_measured` is why
    it could not be trained or encode.
    """

    found: dict[Way, list[Ranking]] = field(default_factory=dict)
    reasons: dict[tuple[str, str], Reasons] = field(default_factory=dict)
    not_measured: dict[tuple[str, str], str] = field(default_factory=dict)

    def told(self, asked: int) -> Iterator[Record]:
        """Yield what was not measured, and the index in effect where it is another one. Raises EncoderError.

        So it does where none of those `asked` for, in any view, could be measured.
        """
        if len(self.not_measured) == asked > 0:
            reasons = "; ".join(f"{name}, {view}: {why}" for (view, name), why in self.not_measured.items())
            raise EncoderError(f"No encoder could be measured. {reasons}")
        for (view, name), why in self.not_measured.items():
            yield {"sheet": "not_measured", "view": view, "encoder": name, "measure": FAULT, "text": why}
        notes = {(way.encoder, way.route, one.note) for way, some in self.found.items() for one in some}
        for encoder, route, note in sorted(notes):
            yield from figures("indexes", {"encoder": encoder, "route": route}, in_effect=note)


@dataclass(frozen=True)
class _View:
    """All that is ranked by what encoders see in one way; what is kept already is read."""

    name: str
    seen: Source
    task: RetrievalTask
    population: Population
    depths: Sequence[int]
    run: Run
    ranked: _Ranked

    @cached_property
    def read(self) -> Seen:
        """Return what the baselines compare, read when it is first asked for."""
        self.run.begin("reading for the baselines")
        return Seen.read(self.seen)

    def rank_all(self, fold: Fold) -> None:
        """Rank by every baseline, encoder and index."""
        for name, scorer in self._baselines(fold):
            self._rank(Way(self.name, name, EXACT), "", fold, partial(self._exactly, scorer, fold))
        for contestant in self.task.contestants:
            if (self.name, contestant.name) not in self.ranked.not_measured:
                self._rank_contestant(contestant, fold)

    def _baselines(self, fold: Fold) -> Iterator[tuple[str, Callable[[], Scorer]]]:
        population = self.population
        yield RANDOM, lambda: AtRandom(len(population), self.task.seed)
        known = ({} if population.any_shared else OF_CODES) | (OF_NOTES if population.has_notes else {})
        for name, make in known.items():
            yield name, lambda make=make: make(self.read)  # type: ignore[misc]
        if population.has_notes:
            yield TfIdf.name, lambda: ByVectors(self.read.words.tfidf(fold.training))

    def _rank_contestant(self, contestant: NamedEncoder, fold: Fold) -> None:
        """Rank by an encoder and every index; fit and encode only where a ranking is missing."""
        name, spec, padding = contestant.name, contestant.spec, contestant.padding
        names = [name] if padding is not None else [name, name + CENTRED]
        through = {EXACT: None} | {route.name: route for route in self.task.routes}
        ways = [Way(self.name, one, route) for one in names for route in through]
        files = [self._file(way, spec, fold) for way in ways]
        reasons, vectors, asked = files[0].with_suffix(".reasons.csv"), dict[str, Any](), None
        if missing := not all(file.exists() for file in files):
            self.run.begin(f"{name}: to vectors", f"{self.name}, fold {fold.number + 1}: {name}")
            try:
                contestant.learn(self.seen, listed(self.population.ids, fold.training))
                made = contestant.encode(self.seen)
            except EncoderError as error:
                self.run.tell(f"{self.name}: {name} can't be measured: {error}")
                self.ranked.not_measured[self.name, name] = str(error)
                for way in ways:  # of other folds
                    self.ranked.found.pop(way, None)
                return
            vectors = {one: made if one == name else _centred(made, fold) for one in names}
            asked = None if padding is None else as_questions(made, padding)
        for way in ways:
            own, route = vectors.get(way.encoder), through[way.route]
            if route is None:
                exact = self._rank(
                    way, spec, fold, partial(self._exactly, partial(ByVectors, own, asked), fold)
                )
            else:
                self._rank(way, spec, fold, partial(self._through, route, way, spec, fold, own, asked, exact))
        subset = Subset(self.seen, listed(self.population.ids, fold.units))
        told = explain(contestant.encoder, subset, reasons) if missing else read_reasons(reasons)
        self.ranked.reasons[self.name, name] = {**self.ranked.reasons.get((self.name, name), {}), **told}

    def _rank(self, way: Way, spec: str, fold: Fold, make: Callable[[], Ranking]) -> Ranking:
        """Return a ranking from its file, or make it and keep it there."""
        file = self._file(way, spec, fold)
        if file.exists():
            made = Ranking.read(file, self.population)
        else:
            made = make()
            made.keep(file, self.population, fold)
        self.ranked.found.setdefault(way, []).append(made)
        return made

    def _exactly(self, scorer: Callable[[], Scorer], fold: Fold) -> Ranking:
        self.run.begin("ranking")
        return rank_exactly(scorer(), self.population, fold, max(self.depths), self.task.seed)

    def _through(
        self, route: Route, way: Way, spec: str, fold: Fold, vectors: Any, asked: Any, exact: Ranking
    ) -> Ranking:
        told = f"{self.name}, fold {fold.number + 1}: {way.encoder} through {route.name}"
        self.run.begin(f"asking {route.store}", told)
        place = str(self._file(way, spec, fold).relative_to(self.task.out))
        name = f"cohorts_quality_{hashlib.sha256(place.encode()).hexdigest()[:10]}"
        filled = np.flatnonzero(filled_rows(vectors))
        sample = vectors[np.sort(np.random.default_rng(self.task.seed).permutation(filled)[:SAMPLE])]
        with connect(route.store) as connector:
            if name in connector.collections():  # left by a run that was killed
                connector.drop(name)
            k = min(max(self.depths), len(sample) // 4)
            collection = Collection(name, vectors.shape[1])
            collection = route.wanted.settle(connector, collection, lambda: sample, k=k)
            return rank_through(
                connector, collection, vectors, self.population, fold, exact, self.depths, asked
            )

    def _file(self, way: Way, spec: str, fold: Fold) -> Path:
        """Return a ranking's file; its place below the folder is what it is known by. `spec` asks for the encoder."""
        parts = (_slug(*part) for part in ((way.view,), (way.encoder, spec), (way.route,)))
        return self.task.out.joinpath("rankings", *parts, f"fold-{fold.number}.parquet")


def _centred(vectors: Any, fold: Fold) -> Any:
    """Return the vectors less the mean of those learnt from; zeros stay zero and lengths 1."""
    filled = filled_rows(vectors)
    mean = vectors[fold.training][filled[fold.training]].mean(axis=0)
    return unit_rows(np.where(filled[:, None], vectors - mean, 0))


def _slug(title: str, *more: str) -> str:
    """Return a name for a folder: readable, and another one for every text."""
    plain = re.sub(r"[^\w.=-]+", "-", title)[:60].strip("-")
    return f"{plain}-{hashlib.sha256(repr((title, *more)).encode()).hexdigest()[:8]}"
