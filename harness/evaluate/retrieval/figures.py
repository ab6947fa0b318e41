"""Figures from raw rankings: means with intervals, cohort by cohort and together, subgroups, and paired tests."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.base import figures
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, graded, graded_ndcg
from cohorts.harness.evaluate.retrieval.population import Mask, Population
from cohorts.harness.evaluate.retrieval.questions import Fold, together
from cohorts.harness.evaluate.retrieval.rankings import EXACT, Ranking, Way, hits_of, matches_of
from cohorts.harness.evaluate.retrieval.reasons import Reasons
from cohorts.measures import intervals, paired, ranking
from cohorts.measures.corrections import holm
from cohorts.measures.ranking import Values
from cohorts.reports.long_table import Record, records
from cohorts.reports.published import RETRIEVAL_K

ALL = "all"
SMALLEST_CELL = 10  # questions of a subgroup; fewer say nothing, and may point at a person
EXTREMES = 3  # questions answered best, and worst
_SEED = 0  # of the bootstrap
Columns = Sequence[tuple[Mapping[str, Any], Values]]  # settings, and a value of each question


class Answers:
    """The q questions of all folds together, and what every way found for them.

    `found` are rankings fold by fold, `hits` those of all folds, (q, depth) by way. Of a question: how many `matches`
    there are, and their share of the candidates, its `base`, (q,). `reasons` are those of who is asked about, by view
    and encoder.
    """

    def __init__(
        self,
        population: Population,
        folds: Sequence[Fold],
        found: Mapping[Way, Sequence[Ranking]],
        reasons: Mapping[tuple[str, str], Reasons],
    ) -> None:
        self.population, self.folds, self.found, self.reasons = population, folds, found, reasons
        self.asked = together(folds)
        self.matches = matches_of(population, self.asked)
        own = np.bincount(population.patient)[population.patient[self.asked.units]]
        self.base = self.matches / (len(population) - own)
        self.hits = {
            way: np.concatenate(
                [hits_of(one.found, population, fold) for fold, one in zip(folds, some, strict=True)]
            )
            for way, some in found.items()
        }
        self.exact = [way for way in found if way.route == EXACT]

    @property
    def parts(self) -> Iterator[tuple[str, Mask]]:
        """Yield all questions, and those of every cohort where there are several: a name, and which, (q,)."""
        cohort = self.asked.cohort
        yield ALL, np.ones(len(cohort), np.bool_)
        names = dict.fromkeys(cohort.tolist())
        yield from ((name, cohort == name) for name in names if len(names) > 1)

    def precision(self, way: Way, k: int) -> Values:
        """Return precision at k of one way, (q,)."""
        return ranking.precision(self.hits[way], k)

    def measures(self, way: Way, k: int) -> dict[str, Values]:
        """Return every measure at k of one way, (q,) each; measures/ranking.py says what they are."""
        found, hits, matches = self.found[way], self.hits[way], self.matches
        precision = self.precision(way, k)
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
            "r_precision": np.concatenate([one.r_precision for one in found]),
            "neighbour_recall": np.concatenate(
                [one.recall.get(k, one.r_precision * np.nan) for one in found]
            ),
        }


def of_answers(answers: Answers, ks: Sequence[int]) -> Iterator[Record]:
    """Yield all figures of which way finds how much; those of one k are of the paper's, or of the largest."""
    k = depth_told(ks)
    yield from every_figure(answers, ks)
    yield from base_rates(answers, k)
    yield from comparisons(answers, k)
    yield from subgroups(answers, k)
    yield from extremes(answers, k)


def depth_told(ks: Collection[int]) -> int:
    """Return the k that tables are of: the paper's, or the largest."""
    return RETRIEVAL_K if RETRIEVAL_K in ks else max(ks)


def every_figure(answers: Answers, ks: Sequence[int]) -> Iterator[Record]:
    """Yield every measure of every way, cohort and k: questions, mean, sd, and the 95 % interval (bootstrap)."""
    columns = [
        ({**way._asdict(), "k": k, "measure": name}, values)
        for way in answers.found
        for k in ks
        for name, values in answers.measures(way, k).items()
    ]
    for cohort, chosen in answers.parts:
        yield from _told("figures", columns, chosen, cohort=cohort)


def base_rates(answers: Answers, k: int) -> Iterator[Record]:
    """Yield, by cohort, the questions, the matches, what chance reaches, and the most that recall at k can be."""
    ceiling = ranking.recall_ceiling(answers.matches, k)
    means = {"matches": answers.matches, "base_rate": answers.base, "recall_ceiling": ceiling}
    for cohort, chosen in answers.parts:
        of = {name: float(values[chosen].mean()) for name, values in means.items()}
        yield from figures("cohorts", {"cohort": cohort}, questions=int(chosen.sum()), **of)


def subgroups(answers: Answers, k: int) -> Iterator[Record]:
    """Yield precision at k by group of who is asked about; groups of fewer than 10 questions have no figure."""
    columns = [
        ({**way._asdict(), "measure": "precision"}, answers.precision(way, k)) for way in answers.exact
    ]
    for name, values in answers.population.groups.items():
        of = values[answers.asked.units]
        for part in sorted(set(of.tolist())):
            chosen, facts = of == part, {"group": name, "part": part or "unknown", "k": k}
            if chosen.sum() < SMALLEST_CELL:
                few = {"sheet": "subgroups", **facts, "questions": f"fewer than {SMALLEST_CELL}"}
                yield from ({**few, **setting} for setting, _ in columns)
            else:
                base = float(answers.base[chosen].mean())
                yield from _told("subgroups", columns, chosen, **facts, base_rate=base)


def extremes(answers: Answers, k: int) -> Iterator[Record]:
    """Yield the three questions answered best and worst in every way, searched exactly, with the reasons known."""
    for way in answers.exact:
        precision, told = answers.precision(way, k), answers.reasons.get((way.view, way.encoder), {})
        order = np.argsort(-precision, kind="stable")
        for place, some in (("best", order[:EXTREMES]), ("worst", order[::-1][:EXTREMES])):
            for question in some.tolist():
                unit = answers.population.ids[answers.asked.units[question]]
                at = {"place": place, "asked": unit, "cohort": str(answers.asked.cohort[question]), "k": k}
                found, why = float(precision[question]), told.get(unit, "")
                yield from figures("extremes", way._asdict() | at, precision=found, reasons=why)


def graded_figures(
    sheet: str, answers: Answers, grades: OfRecords | Judged, ks: Sequence[int]
) -> Iterator[Record]:
    """Yield, for every way and k, the mean grade of those found, nDCG by grades, and the mean grade of everybody."""
    parts = [
        graded(
            grades,
            answers.population,
            fold,
            {way: some[place].found for way, some in answers.found.items()},
        )
        for place, fold in enumerate(answers.folds)
    ]
    columns = [
        ({**way._asdict(), "k": k, "measure": name}, np.concatenate(values))
        for way in answers.found
        for k in ks
        for name, values in (
            ("grade", [made[way][:, :k].mean(axis=1) for made, _, _ in parts]),
            ("graded_ndcg", [graded_ndcg(made[way], best, k) for made, best, _ in parts]),
        )
    ]
    yield from _told(sheet, columns, everybody=float(np.concatenate([base for _, _, base in parts]).mean()))


def comparisons(answers: Answers, k: int) -> Iterator[Record]:
    """Yield paired tests of precision at k: encoders, searched exactly, in one view; and each index against exact.

    Wilcoxon's signed-rank and Student's t, each Holm-corrected over the tests of a view; `d` is the mean difference in
    standard deviations of the differences.
    """
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
                "value": [float(column.mean()) for column in apart.T],
                "low": low,
                "high": high,
                "d": [paired.effect_size(*side) for side in sides],
                "p_wilcoxon": holm([paired.signed_rank_p(*side) for side in sides]),
                "p_t": holm([1.0 if p != p else p for p in p_t]),
            }
        )
        for (first, second), one in zip(pairs, records(told), strict=True):
            of = {"view": view, "first": first.encoder, "second": second.encoder, "route": first.route}
            yield {
                "sheet": "comparisons",
                **of,
                "against": second.route,
                "k": k,
                "measure": "difference",
                **one,
            }


def _told(sheet: str, columns: Columns, chosen: Mask | slice = slice(None), **facts: Any) -> Iterator[Record]:
    """Yield a row for each column: mean, standard deviation and interval over those of the questions with a value."""
    values = np.stack([values for _, values in columns], axis=1)[chosen]
    low, high = intervals.of_means(values, np.random.default_rng(_SEED))
    of = pd.DataFrame(values)
    told = {"questions": of.count(), "value": of.mean(), "sd": of.std(), "low": low, "high": high}
    for (setting, _), one in zip(columns, records(pd.DataFrame(told)), strict=True):
        yield {"sheet": sheet, **setting, **facts, **one}
