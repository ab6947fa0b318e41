"""Runs the questions through every encoder, baseline and index; what was ranked already is not ranked again.

The raw results, who was found for whom, are kept cell by cell; figures are computed from them afterwards.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.connectors.base import Collection
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.padding import as_questions
from cohorts.connectors.registry import connect
from cohorts.documents import read_json
from cohorts.encoders.pooling import filled_rows, unit_rows
from cohorts.errors import EncoderError, InputError
from cohorts.harness.evaluate.data.baselines import TFIDF
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder
from cohorts.harness.evaluate.data.splits import listed
from cohorts.harness.evaluate.retrieval.leaks import Late, Leak, find_leaks, shared_patients
from cohorts.harness.evaluate.retrieval.plan import Plan, Route
from cohorts.harness.evaluate.retrieval.population import CohortBy, Population
from cohorts.harness.evaluate.retrieval.proxies import Proxy, find_proxies
from cohorts.harness.evaluate.retrieval.questions import Fold, deal
from cohorts.harness.evaluate.retrieval.rankings import (
    Ranking,
    keep_ranking,
    rank_exactly,
    rank_through,
    read_ranking,
)
from cohorts.harness.evaluate.retrieval.reasons import explain, keep_reasons, read_reasons
from cohorts.harness.evaluate.retrieval.scorers import (
    OF_CODES,
    OF_NOTES,
    RANDOM,
    AtRandom,
    ByVectors,
    Scorer,
    Seen,
)
from cohorts.harness.reports.stages import Stages
from cohorts.provenance import write_manifest
from cohorts.records.base import Source
from cohorts.records.withheld import WithheldSource

EXACT = "exact"
IDENTITY = "questions.json"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One ranking: what was seen, who ranked, through what, and the fold asked about; `spec` asks for the encoder."""

    view: str
    encoder: str
    route: str
    fold: int
    spec: str = ""

    @property
    def path(self) -> Path:
        """Return the file's place below the folder of results; it is the cell's identity."""
        parts = (_slug(*part) for part in ((self.view,), (self.encoder, self.spec), (self.route,)))
        return Path("rankings", *parts, f"fold-{self.fold}.parquet")


@dataclass
class Result:
    """All rankings, the questions they answer, how deep they are judged, and what could flatter them.

    `reasons` are those of who is asked about, by view and encoder, of encoders that explain themselves. `not_measured`
    is why an encoder could not be trained or encode, by the same.
    """

    population: Population
    folds: list[Fold]
    ks: Sequence[int]
    rankings: dict[Cell, Ranking] = field(default_factory=dict)
    reasons: defaultdict[tuple[str, str], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    leaks: list[Leak] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)
    not_measured: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def shared_patients(self) -> int:
        """Return how many patients are on both sides of a fold."""
        return shared_patients(self.population, self.folds)


def evaluate(
    source: Source, population: Population, plan: Plan, out: Path, tell: Tell = lambda _: None
) -> Result:
    """Rank for every question, in every way asked for. Raises InputError, EncoderError, EngineError."""
    plan = _possible(plan, population)
    result = Result(population, deal(population, plan.folds, plan.queries, plan.seed), plan.ks)
    _check_same(out, source, population, plan)
    if not population.has_notes:
        tell("The source has no notes: TF-IDF and BM25 are left out.")
    for view, withheld in plan.views.items():
        seen = WithheldSource(source, withheld) if withheld else source
        run = _View(view, seen, plan, out, result, tell)
        if not population.any_shared:
            result.stages.begin("looking for leaks")
            leaks, late = find_leaks(view, population.cohorts, source.batches(), seen.batches())
            result.leaks += leaks
            result.late.append(late)
            result.stages.begin("looking for proxies")
            result.proxies += find_proxies(view, population, seen, run.read.words)
        run.run()
    result.stages.end()
    _check_any_measured(plan, result)
    return result


def _check_any_measured(plan: Plan, result: Result) -> None:
    """Raise EncoderError where none of the encoders asked for could be measured: baselines alone answer nothing."""
    asked = {(view, one.name) for view in plan.views for one in plan.contestants}
    if asked and asked <= set(result.not_measured):
        told = "; ".join(f"{name}, {view}: {reason}" for (view, name), reason in result.not_measured.items())
        raise EncoderError(f"No encoder could be measured. {told}")


def _possible(plan: Plan, population: Population) -> Plan:
    """Return the plan without depths that everybody would be within."""
    ks = [k for k in plan.ks if k < len(population) - 1]
    if not ks:
        raise InputError(
            f"{len(population):,} units are too few for k = {', '.join(map(str, plan.ks))}.",
            remedy="Give a smaller k.",
            hint="smaller_k",
        )
    return replace(plan, ks=ks)


def _check_same(out: Path, source: Source, population: Population, plan: Plan) -> None:
    """Raise InputError where the folder holds the answers to other questions."""
    asked: dict[str, Any] = {
        "source": source.fingerprint,
        "cohorts": population.any_shared or population.cohorts,
        "k": list(plan.ks),
        "queries": plan.queries,
        "folds": plan.folds,
        "seed": plan.seed,
    }
    if population.by is not CohortBy.ANY:  # which it was before there was a choice
        asked["cohort_by"] = population.by
    if not population.any_shared:
        asked["implied"] = "withheld"  # what was ranked before saw codes that imply a cohort
    file = out / IDENTITY
    if file.exists() and read_json(file, dict[str, Any], remedy=f"Remove {out}.") != asked:
        raise InputError(
            f"{out} holds the answers to other questions (of another source, cohorts, k, number, folds or seed, or by "
            "an earlier version).",
            remedy="Take another folder, or remove it.",
            hint="another_out",
        )
    write_manifest(file, asked)


class _View:
    """All that is ranked by what encoders see in one way."""

    def __init__(self, name: str, seen: Source, plan: Plan, out: Path, result: Result, tell: Tell) -> None:
        self._name, self._seen, self._plan, self._out = name, seen, plan, out
        self._result, self._tell = result, tell
        self._population = result.population

    def run(self) -> None:
        for fold in self._result.folds:
            for name, scorer in self._baselines(fold):
                self._rank(Cell(self._name, name, EXACT, fold.number), fold, scorer)
            for contestant in self._plan.contestants:
                if (self._name, contestant.name) not in self._result.not_measured:
                    self._rank_contestant(contestant, fold)

    def _baselines(self, fold: Fold) -> Iterator[tuple[str, Callable[[], Scorer]]]:
        population = self._population
        yield RANDOM, lambda: AtRandom(len(population), self._plan.seed)
        known = ({} if population.any_shared else OF_CODES) | (OF_NOTES if population.has_notes else {})
        for name, make in known.items():
            yield name, lambda make=make: make(self.read)  # type: ignore[misc]
        if population.has_notes:
            learnt = np.isin(np.arange(len(population)), fold.training)
            yield TFIDF, lambda: ByVectors(self.read.words.tfidf(learnt))

    @cached_property
    def read(self) -> Seen:
        """Return what the baselines compare, read when it is first asked for."""
        self._result.stages.begin("reading for the baselines")
        return Seen.read(self._seen)

    def _rank_contestant(self, contestant: NamedEncoder, fold: Fold) -> None:
        """Fit and encode only where a ranking is missing; those that are there are read."""
        cells = self._cells(contestant, fold)
        known = [self._known(cell) for cell in cells]
        file = self._out / cells[0].path.with_suffix(".reasons.csv")
        if all(known):
            self._result.reasons[self._name, contestant.name] |= read_reasons(file)
            return
        self._tell(f"{self._name}, fold {fold.number + 1}: {contestant.name}")
        self._result.stages.begin(f"{contestant.name}: to vectors")
        try:
            contestant.learn(self._seen, listed(self._population.ids, fold.training))
            made = contestant.encode(self._seen)
        except EncoderError as error:
            self._leave_out(contestant, str(error))
            return
        asked = None if contestant.padding is None else as_questions(made, contestant.padding)
        for name, vectors in _variants(contestant, made, fold):
            cell = Cell(self._name, name, EXACT, fold.number, contestant.spec)
            exact = self._rank(cell, fold, lambda vectors=vectors: ByVectors(vectors, asked))  # type: ignore[misc]
            for route in self._plan.routes:
                self._rank_route(replace(cell, route=route.name), fold, route, vectors, exact, asked)
        reasons = explain(contestant.encoder, self._seen, self._population, fold)
        if reasons:
            keep_reasons(file, reasons)
            self._result.reasons[self._name, contestant.name] |= reasons

    def _leave_out(self, contestant: NamedEncoder, reason: str) -> None:
        """Keep why an encoder can't be measured in this view, and no ranking of another fold by it."""
        self._tell(f"{self._name}: {contestant.name} can't be measured: {reason}")
        result, name = self._result, contestant.name
        result.not_measured[self._name, name] = reason
        mine = {(self._name, name), (self._name, name + CENTRED)}
        result.rankings = {
            cell: one for cell, one in result.rankings.items() if (cell.view, cell.encoder) not in mine
        }

    def _cells(self, contestant: NamedEncoder, fold: Fold) -> list[Cell]:
        variants = ("", CENTRED) if contestant.padding is None else ("",)
        routes = (EXACT, *(one.name for one in self._plan.routes))
        return [
            Cell(self._name, contestant.name + variant, route, fold.number, contestant.spec)
            for variant in variants
            for route in routes
        ]

    def _rank(self, cell: Cell, fold: Fold, scorer: Callable[[], Scorer]) -> Ranking:
        if not self._known(cell):
            self._result.stages.begin("ranking")
            plan = self._plan
            self._keep(cell, fold, rank_exactly(scorer(), self._population, fold, max(plan.ks), plan.seed))
        return self._result.rankings[cell]

    def _rank_route(
        self, cell: Cell, fold: Fold, route: Route, vectors: Any, exact: Ranking, asked: Any
    ) -> None:
        if self._known(cell):
            return
        self._tell(f"{cell.view}, fold {cell.fold + 1}: {cell.encoder} through {cell.route}")
        self._result.stages.begin(f"asking {route.store}")
        name = f"cohorts_quality_{hashlib.sha256(str(cell.path).encode()).hexdigest()[:10]}"
        with connect(route.store) as connector:
            if name in connector.collections():  # left by a run that was killed
                connector.drop(name)
            sample = _sample(vectors, self._plan.seed)
            collection = route.wanted.settle(
                connector,
                Collection(name, vectors.shape[1]),
                lambda: sample,
                k=min(max(self._plan.ks), len(sample) // 4),
            )
            made = rank_through(
                connector, collection, vectors, self._population, fold, exact, self._plan.ks, asked
            )
        self._keep(cell, fold, made)

    def _known(self, cell: Cell) -> bool:
        if cell not in self._result.rankings and (self._out / cell.path).exists():
            self._result.rankings[cell] = read_ranking(self._out / cell.path, self._population)
        return cell in self._result.rankings

    def _keep(self, cell: Cell, fold: Fold, made: Ranking) -> None:
        keep_ranking(self._out / cell.path, made, self._population, fold)
        self._result.rankings[cell] = made


def _variants(contestant: NamedEncoder, vectors: Any, fold: Fold) -> Iterator[tuple[str, Any]]:
    """Yield the vectors as they are, and less the mean of those learnt from where zeros stay zero and lengths 1."""
    name = contestant.name
    yield name, vectors
    if contestant.padding is not None:
        return
    filled = filled_rows(vectors)
    mean = vectors[fold.training][filled[fold.training]].mean(axis=0)
    yield name + CENTRED, unit_rows(np.where(filled[:, None], vectors - mean, 0))


def _sample(vectors: Any, seed: int) -> Any:
    filled = np.flatnonzero(filled_rows(vectors))
    return vectors[np.sort(np.random.default_rng(seed).permutation(filled)[:SAMPLE])]


def _slug(title: str, *more: str) -> str:
    """Return a name for a folder: readable, and another one for every text."""
    plain = re.sub(r"[^\w.=-]+", "-", title)[:60].strip("-")
    return f"{plain}-{hashlib.sha256(repr((title, *more)).encode()).hexdigest()[:8]}"
