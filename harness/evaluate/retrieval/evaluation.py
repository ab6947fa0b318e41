"""Runs the questions through every encoder, baseline and index; what was ranked already is not ranked again.

The raw results, who was found for whom, are kept cell by cell; figures are computed from them afterwards.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
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
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder
from cohorts.harness.evaluate.data.splits import listed
from cohorts.harness.evaluate.data.words import TfIdf
from cohorts.harness.evaluate.retrieval.leaks import find_leaks, shared_patients
from cohorts.harness.evaluate.retrieval.plan import Plan, Route
from cohorts.harness.evaluate.retrieval.population import CohortBy, Population
from cohorts.harness.evaluate.retrieval.proxies import find_proxies
from cohorts.harness.evaluate.retrieval.questions import Fold, deal
from cohorts.harness.evaluate.retrieval.rankings import (
    EXACT,
    Ranking,
    Way,
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
from cohorts.harness.reports.long_table import Record
from cohorts.harness.reports.stages import Stages
from cohorts.provenance import write_manifest
from cohorts.records.base import Source
from cohorts.records.withheld import WithheldSource

IDENTITY = "questions.json"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One ranking: of a way, and of the fold asked about; `spec` asks for the encoder."""

    way: Way
    fold: int
    spec: str = ""

    @property
    def path(self) -> Path:
        """Return the file's place below the folder of results; it is the cell's identity."""
        view, encoder, route = self.way
        parts = (_slug(*part) for part in ((view,), (encoder, self.spec), (route,)))
        return Path("rankings", *parts, f"fold-{self.fold}.parquet")


@dataclass
class Result:
    """All rankings, the questions they answer, how deep they are judged, and what could flatter them.

    `reasons` are those of who is asked about, by view and encoder, of encoders that explain themselves. `not_measured`
    is why an encoder could not be trained or encode, by the same. `leaks`, `late` and `proxies` are rows of tables.
    """

    population: Population
    folds: list[Fold]
    ks: Sequence[int]
    rankings: dict[Cell, Ranking] = field(default_factory=dict)
    reasons: defaultdict[tuple[str, str], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    leaks: list[Record] = field(default_factory=list)
    late: list[Record] = field(default_factory=list)
    proxies: list[Record] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)
    not_measured: dict[tuple[str, str], str] = field(default_factory=dict)

    def ways(self) -> Mapping[Way, list[Ranking]]:
        """Return the rankings of every way, fold by fold."""
        ways: dict[Way, list[Ranking]] = {}
        for cell in sorted(self.rankings, key=lambda cell: cell.fold):
            ways.setdefault(cell.way, []).append(self.rankings[cell])
        return ways

    @property
    def shared_patients(self) -> int:
        """Return how many patients are on both sides of a fold."""
        return shared_patients(self.population, self.folds)


def evaluate(
    source: Source, population: Population, plan: Plan, out: Path, tell: Tell = lambda _: None
) -> Result:
    """Rank for every question, in every way asked for. Raises InputError, EncoderError, EngineError."""
    plan = plan.within(len(population))
    result = Result(population, deal(population, plan.folds, plan.queries, plan.seed), plan.ks)
    _check_same(out, source, population, plan)
    if not population.has_notes:
        tell("The source has no notes: TF-IDF and BM25 are left out.")
    for name, withheld in plan.views.items():
        seen = WithheldSource(source, withheld) if withheld else source
        view = _View(name, seen, plan, out, result, tell)
        if not population.any_shared:
            view.look_for_leaks(source)
        for fold in result.folds:
            view.rank_all(fold)
    result.stages.end()
    if len(result.not_measured) == len(plan.views) * len(plan.contestants) > 0:
        reasons = "; ".join(f"{name}, {view}: {why}" for (view, name), why in result.not_measured.items())
        raise EncoderError(f"No encoder could be measured. {reasons}")
    return result


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
        self._result, self._tell, self._population = result, tell, result.population

    def look_for_leaks(self, source: Source) -> None:
        """Count what could flatter the figures, beside the whole source."""
        result, population = self._result, self._population
        result.stages.begin("looking for leaks")
        leaks, late = find_leaks(self._name, population.cohorts, source.batches(), self._seen.batches())
        result.leaks += leaks
        result.late.append(late)
        words = self._read.words
        result.stages.begin("looking for proxies")
        result.proxies += find_proxies(self._name, population, self._seen, words)

    def rank_all(self, fold: Fold) -> None:
        """Rank by every baseline, encoder and index."""
        for name, scorer in self._baselines(fold):
            self._rank(Cell(Way(self._name, name, EXACT), fold.number), fold, scorer)
        for contestant in self._plan.contestants:
            if (self._name, contestant.name) not in self._result.not_measured:
                self._rank_contestant(contestant, fold)

    def _baselines(self, fold: Fold) -> Iterator[tuple[str, Callable[[], Scorer]]]:
        population = self._population
        yield RANDOM, lambda: AtRandom(len(population), self._plan.seed)
        known = ({} if population.any_shared else OF_CODES) | (OF_NOTES if population.has_notes else {})
        for name, make in known.items():
            yield name, lambda make=make: make(self._read)  # type: ignore[misc]
        if population.has_notes:
            yield TfIdf.name, lambda: ByVectors(self._read.words.tfidf(fold.training))

    @cached_property
    def _read(self) -> Seen:
        """Return what the baselines compare, read when it is first asked for."""
        self._result.stages.begin("reading for the baselines")
        return Seen.read(self._seen)

    def _rank_contestant(self, contestant: NamedEncoder, fold: Fold) -> None:
        """Fit and encode only where a ranking is missing; those that are there are read."""
        name, padding = contestant.name, contestant.padding
        names = [name] if padding is not None else [name, name + CENTRED]
        routes = [EXACT, *(route.name for route in self._plan.routes)]
        cells = [
            Cell(Way(self._name, one, route), fold.number, contestant.spec)
            for one in names
            for route in routes
        ]
        known = [self._known(cell) for cell in cells]
        file, reasons = self._out / cells[0].path.with_suffix(".reasons.csv"), self._result.reasons
        if all(known):
            reasons[self._name, name] |= read_reasons(file)
            return
        self._tell(f"{self._name}, fold {fold.number + 1}: {name}")
        self._result.stages.begin(f"{name}: to vectors")
        try:
            contestant.learn(self._seen, listed(self._population.ids, fold.training))
            made = contestant.encode(self._seen)
        except EncoderError as error:
            self._leave_out(names, str(error))
            return
        asked = None if padding is None else as_questions(made, padding)
        for one in names:
            vectors = made if one == name else _centred(made, fold)
            cell = Cell(Way(self._name, one, EXACT), fold.number, contestant.spec)
            exact = self._rank(cell, fold, partial(ByVectors, vectors, asked))
            for route in self._plan.routes:
                through = replace(cell, way=cell.way._replace(route=route.name))
                self._rank_route(through, fold, route, vectors, exact, asked)
        if told := explain(contestant.encoder, self._seen, self._population, fold):
            keep_reasons(file, told)
            reasons[self._name, name] |= told

    def _leave_out(self, names: Sequence[str], reason: str) -> None:
        """Keep why an encoder can't be measured in this view, and no ranking of another fold by it."""
        self._tell(f"{self._name}: {names[0]} can't be measured: {reason}")
        self._result.not_measured[self._name, names[0]] = reason
        for cell in list(self._result.rankings):
            if cell.way.view == self._name and cell.way.encoder in names:
                del self._result.rankings[cell]

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
        self._tell(f"{self._name}, fold {cell.fold + 1}: {cell.way.encoder} through {route.name}")
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


def _centred(vectors: Any, fold: Fold) -> Any:
    """Return the vectors less the mean of those learnt from; zeros stay zero and lengths 1."""
    filled = filled_rows(vectors)
    mean = vectors[fold.training][filled[fold.training]].mean(axis=0)
    return unit_rows(np.where(filled[:, None], vectors - mean, 0))


def _sample(vectors: Any, seed: int) -> Any:
    filled = np.flatnonzero(filled_rows(vectors))
    return vectors[np.sort(np.random.default_rng(seed).permutation(filled)[:SAMPLE])]


def _slug(title: str, *more: str) -> str:
    """Return a name for a folder: readable, and another one for every text."""
    plain = re.sub(r"[^\w.=-]+", "-", title)[:60].strip("-")
    return f"{plain}-{hashlib.sha256(repr((title, *more)).encode()).hexdigest()[:8]}"
