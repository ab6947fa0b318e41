"""Figures from raw rankings: means with intervals, cohort by cohort and together, subgroups, and paired tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.retrieval.evaluation import Result
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, graded, graded_ndcg
from cohorts.harness.evaluate.retrieval.population import Mask, Names
from cohorts.harness.evaluate.retrieval.rankings import EXACT, Way, hits_of, matches_of
from cohorts.measures import intervals, paired, ranking
from cohorts.measures.corrections import holm
from cohorts.measures.ranking import Counts, Hits, Values

ALL = "all"
SMALLEST_CELL = 10  # questions of a subgroup; fewer say nothing, and may point at a person
EXTREMES = 3  # questions answered best, and worst
_SEED = 0  # of the bootstrap
_TOLD = ("questions", "mean", "sd", "low", "high")
Setting = dict[str, Any]
Columns = list[tuple[Setting, Values]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one way found for q questions: hits (q, depth), R-precision (q,), neighbours found by k (q,)."""

    hits: Hits
    r_precision: Values
    neighbours: Mapping[int, Values]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The q questions of all folds together, and what every way found for them.

    Of a question: who is asked about, the cohort, the groups, how many match, and their share of the candidates, (q,).
    """

    asked: Sequence[str]
    cohort: Names
    groups: Mapping[str, Names]
    matches: Counts
    base: Values
    found: Mapping[Way, Found]

    @classmethod
    def of(cls, result: Result) -> "Answers":
        """Put the folds together."""
        population, folds = result.population, result.folds
        units = np.concatenate([fold.units for fold in folds])
        matches = np.concatenate([matches_of(population, fold) for fold in folds])
        own = np.bincount(population.patient)[population.patient[units]]
        return cls(
            asked=[population.ids[unit] for unit in units],
            cohort=np.concatenate([fold.cohort for fold in folds]),
            groups={name: values[units] for name, values in population.groups.items()},
            matches=matches,
            base=matches / (len(population) - own),
            found={
                way: Found(
                    hits=np.concatenate(
                        [hits_of(one.found, population, fold) for fold, one in zip(folds, made, strict=True)]
                    ),
                    r_precision=np.concatenate([one.r_precision for one in made]),
                    neighbours={k: np.concatenate([one.recall[k] for one in made]) for k in made[0].recall},
                )
                for way, made in result.ways().items()
            },
        )

    @property
    def exact(self) -> list[Way]:
        """Return the ways that were searched exactly."""
        return [way for way in self.found if way.route == EXACT]

    @property
    def parts(self) -> Iterator[tuple[str, Mask]]:
        """Yield all questions, and those of every cohort where there are several: a name, and which, (q,)."""
        yield ALL, np.ones(len(self.cohort), np.bool_)
        names = dict.fromkeys(self.cohort.tolist())
        yield from ((name, self.cohort == name) for name in names if len(names) > 1)

    def precision(self, way: Way, k: int) -> Values:
        """Return precision at k of one way, (q,)."""
        return ranking.precision(self.found[way].hits, k)

    def measures(self, way: Way, k: int) -> dict[str, Values]:
        """Return every measure at k of one way, (q,) each; measures/ranking.py says what they are."""
        found, matches = self.found[way], self.matches
        hits, precision = found.hits, self.precision(way, k)
        return {
            "precision": precision,
            "precision_ceiling": ranking.precision_ceiling(matches, k),
            "lift": precision / self.base,
            "recall": ranking.recall(hits, k, matches),
            "recall_ceiling": ranking.recall_ceiling(matches, k),
            "capped_recall": ranking.capped_recall(hits, k, matches),
            "f1": ranking.f1(hits, k, matches),
            "f1_ceiling": ranking.f1_ceiling(matches, k),
            "ndcg": ranking.ndcg(hits, k, matches),
            "average_precision": ranking.average_precision(hits[:, :k], matches),
            "r_precision": found.r_precision,
            "neighbour_recall": found.neighbours.get(k, np.full(len(hits), np.nan)),
        }


def figures(answers: Answers, ks: Sequence[int]) -> pd.DataFrame:
    """Return a row for every way, cohort, k and measure: questions, mean, sd, and the 95 % interval (bootstrap)."""
    columns = [
        ({**way._asdict(), "k": k, "measure": name}, values)
        for way in answers.found
        for k in ks
        for name, values in answers.measures(way, k).items()
    ]
    return pd.concat(
        [_told(columns, chosen, cohort=cohort) for cohort, chosen in answers.parts], ignore_index=True
    )


def base_rates(answers: Answers, k: int) -> pd.DataFrame:
    """Return, by cohort, the questions, the matches, what chance reaches, and the most that recall at k can be."""
    ceiling = ranking.recall_ceiling(answers.matches, k)
    means = {"matches": answers.matches, "base_rate": answers.base, "recall_ceiling": ceiling}
    return pd.DataFrame(
        {"cohort": cohort, "questions": int(chosen.sum())}
        | {name: float(values[chosen].mean()) for name, values in means.items()}
        for cohort, chosen in answers.parts
    )


def subgroups(answers: Answers, k: int) -> pd.DataFrame:
    """Return precision at k by group of who is asked about; groups of fewer than 10 questions have no figure."""
    columns: Columns = [(way._asdict(), answers.precision(way, k)) for way in answers.exact]
    parts = []
    for name, of in answers.groups.items():
        for group in sorted(set(of.tolist())):
            chosen, facts = of == group, {"group": name, "value": group or "unknown", "k": k}
            if chosen.sum() < SMALLEST_CELL:
                few = {**facts, "questions": f"fewer than {SMALLEST_CELL}"}
                parts.append(pd.DataFrame(way | few for way, _ in columns))
            else:
                parts.append(_told(columns, chosen, **facts, base_rate=float(answers.base[chosen].mean())))
    order = [*Way._fields, "group", "value", "k", *_TOLD, "base_rate"]
    return pd.concat(parts, ignore_index=True).reindex(columns=order) if parts else pd.DataFrame()


def extremes(answers: Answers, reasons: Mapping[tuple[str, str], Mapping[str, str]], k: int) -> pd.DataFrame:
    """Return the three questions answered best and worst in every way, searched exactly, with the reasons known."""
    rows = []
    for way in answers.exact:
        precision, told = answers.precision(way, k), reasons.get((way.view, way.encoder), {})
        order = np.argsort(-precision, kind="stable")
        for place, some in (("best", order[:EXTREMES]), ("worst", order[::-1][:EXTREMES])):
            for question in some.tolist():
                unit = answers.asked[question]
                at = {"place": place, "asked": unit, "cohort": answers.cohort[question], "k": k}
                found = {"precision": precision[question], "reasons": told.get(unit, "")}
                rows.append(way._asdict() | at | found)
    return pd.DataFrame(rows)


def graded_figures(result: Result, grades: OfRecords | Judged, ks: Sequence[int]) -> pd.DataFrame:
    """Return, for every way and k, the mean grade of those found, nDCG by grades, and the mean grade of everybody."""
    ways = result.ways()
    parts = [
        graded(grades, result.population, fold, {way: made[place].found for way, made in ways.items()})
        for place, fold in enumerate(result.folds)
    ]
    columns = [
        ({**way._asdict(), "k": k, "measure": name}, np.concatenate(values))
        for way in ways
        for k in ks
        for name, values in (
            ("grade", [part.found[way][:, :k].mean(axis=1) for part in parts]),
            ("graded_ndcg", [graded_ndcg(part.found[way], part.best, k) for part in parts]),
        )
    ]
    return _told(columns).assign(everybody=float(np.concatenate([part.base for part in parts]).mean()))


def comparisons(answers: Answers, k: int) -> pd.DataFrame:
    """Return paired tests of precision at k: encoders, searched exactly, in one view; and each index against exact.

    Wilcoxon's signed-rank and Student's t, each Holm-corrected over the tests of a view; `d` is the mean difference in
    standard deviations of the differences.
    """
    rows = []
    for view in dict.fromkeys(way.view for way in answers.found):
        exact = [way for way in answers.exact if way.view == view]
        through = [way for way in answers.found if way.view == view and way.route != EXACT]
        pairs = [*combinations(exact, 2), *((way, way._replace(route=EXACT)) for way in through)]
        if not pairs:
            continue
        sides = [(answers.precision(first, k), answers.precision(second, k)) for first, second in pairs]
        apart = np.stack([first - second for first, second in sides], axis=1)
        low, high = intervals.of_means(apart, np.random.default_rng(_SEED))
        p_t = [paired.t_p(*side) for side in sides]
        told = pd.DataFrame(
            {
                "difference": [float(column.mean()) for column in apart.T],
                "low": low,
                "high": high,
                "d": [paired.effect_size(*side) for side in sides],
                "p_wilcoxon": holm([paired.signed_rank_p(*side) for side in sides]),
                "p_t": holm([1.0 if p != p else p for p in p_t]),
            }
        )
        rows += [
            {"view": view, "first": first.encoder, "second": second.encoder, "route": first.route}
            | {"against": second.route, "k": k, **one}
            for (first, second), one in zip(pairs, told.to_dict("records"), strict=True)
        ]
    return pd.DataFrame(rows)


def _told(columns: Columns, chosen: Mask | slice = slice(None), **facts: Any) -> pd.DataFrame:
    """Return a row for each column: mean, standard deviation and interval over those of the questions with a value."""
    values = np.stack([values for _, values in columns], axis=1)[chosen]
    low, high = intervals.of_means(values, np.random.default_rng(_SEED))
    frame = pd.DataFrame(values)
    told = [frame.count(), frame.mean(), frame.std(), low, high]
    return pd.DataFrame([setting | facts for setting, _ in columns]).assign(
        **dict(zip(_TOLD, map(np.asarray, told), strict=True))
    )
