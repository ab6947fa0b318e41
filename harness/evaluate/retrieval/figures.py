"""Figures from raw rankings: means with intervals, cohort by cohort and together, subgroups, and paired tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.retrieval.evaluation import EXACT, Cell, Result
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, gains, graded, graded_ndcg
from cohorts.harness.evaluate.retrieval.rankings import hits_of, matches_of
from cohorts.measures import intervals, paired, ranking
from cohorts.measures.corrections import holm
from cohorts.measures.ranking import Counts, Hits, Values

ALL = "all"
SMALLEST_CELL = 10  # questions of a subgroup; fewer say nothing, and may point at a person
EXTREMES = 3  # questions answered best, and worst
_SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Answers:
    """All questions answered in one way, the folds together: hits (q, depth), matches and candidates (q,)."""

    hits: Hits
    matches: Counts
    base: Values
    r_precision: Values
    recall: Mapping[int, Values]

    def measures(self, k: int) -> dict[str, Values]:
        """Return every measure at k, (q,) each; `ranking.py` says what they are."""
        hits, matches = self.hits, self.matches
        precision = ranking.precision(hits, k)
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
            "r_precision": self.r_precision,
            "neighbour_recall": self.recall.get(k, np.full(len(hits), np.nan)),
        }


@dataclass(frozen=True)
class Ways:
    """Answers by view, encoder and route; of every question who is asked about, the cohort, and the groups."""

    answers: dict[tuple[str, str, str], Answers]
    asked: Sequence[str]
    cohort: Sequence[str]
    groups: Mapping[str, Sequence[str]]


def gather(result: Result) -> Ways:
    """Put the folds of every way together."""
    units = np.concatenate([fold.units for fold in result.folds])
    matches = [matches_of(result.population, fold) for fold in result.folds]
    return Ways(
        {
            way: _join([_answers(cell, result, matches[cell.fold]) for cell in cells])
            for way, cells in _ways(result).items()
        },
        [result.population.ids[unit] for unit in units],
        np.concatenate([fold.cohort for fold in result.folds]).tolist(),
        {name: values[units].tolist() for name, values in result.population.groups.items()},
    )


def figures(ways: Ways, ks: Sequence[int]) -> pd.DataFrame:
    """Return a row for every way, cohort, k and measure: questions, mean, sd, and the 95 % interval (bootstrap)."""
    columns = [
        ({**_named(way), "k": k, "measure": name}, values)
        for way, answers in ways.answers.items()
        for k in ks
        for name, values in answers.measures(k).items()
    ]
    names, values = pd.DataFrame([name for name, _ in columns]), np.stack([one for _, one in columns], axis=1)
    parts = [names.assign(cohort=cohort, **_told(values[chosen])) for cohort, chosen in _cohorts(ways)]
    return pd.concat(parts, ignore_index=True)


def base_rates(ways: Ways, k: int) -> pd.DataFrame:
    """Return, by cohort, the questions, the matches, what chance reaches, and the most that recall at k can be."""
    one = next(iter(ways.answers.values()))
    return pd.DataFrame(
        [
            {
                "cohort": cohort,
                "questions": int(chosen.sum()),
                "matches": float(one.matches[chosen].mean()),
                "base_rate": float(one.base[chosen].mean()),
                "recall_ceiling": float(ranking.recall_ceiling(one.matches[chosen], k).mean()),
            }
            for cohort, chosen in _cohorts(ways)
        ]
    )


def subgroups(ways: Ways, k: int) -> pd.DataFrame:
    """Return precision at k by group of who is asked about; groups of fewer than 10 questions have no figure."""
    exact = {way: one for way, one in ways.answers.items() if way[2] == EXACT}
    values = np.stack([ranking.precision(one.hits, k) for one in exact.values()], axis=1)
    base = next(iter(exact.values())).base
    parts = []
    for name, of in ways.groups.items():
        for group in sorted(set(of)):
            chosen = np.array(of) == group
            part = pd.DataFrame(map(_named, exact)).assign(group=name, value=group or "unknown", k=k)
            if chosen.sum() < SMALLEST_CELL:
                parts.append(part.assign(questions=f"fewer than {SMALLEST_CELL}"))
            else:
                parts.append(part.assign(**_told(values[chosen]), base_rate=float(base[chosen].mean())))
    if not parts:
        return pd.DataFrame()
    columns = ["questions", "mean", "sd", "low", "high", "base_rate"]
    frame = pd.concat(parts, ignore_index=True)
    return frame.reindex(columns=[*frame.columns.difference(columns, sort=False), *columns])


def extremes(ways: Ways, reasons: Mapping[tuple[str, str], Mapping[str, str]], k: int) -> pd.DataFrame:
    """Return the three questions answered best and worst in every way, searched exactly, with the reasons known."""
    rows = []
    for way, answers in ways.answers.items():
        if way[2] != EXACT:
            continue
        precision = ranking.precision(answers.hits, k)
        order = np.argsort(-precision, kind="stable")
        for place, some in (("best", order[:EXTREMES]), ("worst", order[::-1][:EXTREMES])):
            for question in some.tolist():
                unit = ways.asked[question]
                told = reasons.get(way[:2], {}).get(unit, "")
                at = {"place": place, "asked": unit, "cohort": ways.cohort[question], "k": k}
                rows.append({**_named(way), **at, "precision": precision[question], "reasons": told})
    return pd.DataFrame(rows)


def graded_figures(result: Result, grades: OfRecords | Judged, ks: Sequence[int]) -> pd.DataFrame:
    """Return, for every way and k, the mean grade of those found, nDCG by grades, and the mean grade of everybody."""
    gains_of = [gains(grades, result.population, fold, max(ks)) for fold in result.folds]
    base = np.concatenate([one.base for one in gains_of])
    names, columns = [], []
    for way, cells in _ways(result).items():
        made = [
            graded(grades, result.population, result.folds[one.fold], result.rankings[one].found)
            for one in cells
        ]
        for k in ks:
            pairs = zip(made, gains_of, strict=True)
            ndcg = np.concatenate([graded_ndcg(one, of.best, k) for one, of in pairs])
            grade = np.concatenate([one[:, :k].mean(axis=1) for one in made])
            names += [{**_named(way), "k": k, "measure": name} for name in ("grade", "graded_ndcg")]
            columns += [grade, ndcg]
    told = _told(np.stack(columns, axis=1))
    return pd.DataFrame(names).assign(**told, everybody=float(base.mean()))


def comparisons(ways: Ways, k: int) -> pd.DataFrame:
    """Return paired tests of precision at k: encoders, searched exactly, in one view; and each index against exact.

    Wilcoxon's signed-rank and Student's t, each Holm-corrected over the tests of a view; `d` is the mean difference in
    standard deviations of the differences.
    """
    rows = []
    for view in dict.fromkeys(way[0] for way in ways.answers):
        pairs = [*_encoders(ways, view), *_indexes(ways, view)]
        if not pairs:
            continue
        precision = {way: ranking.precision(ways.answers[way].hits, k) for pair in pairs for way in pair}
        apart = np.stack([precision[first] - precision[second] for first, second in pairs], axis=1)
        low, high = intervals.of_means(apart, np.random.default_rng(_SEED))
        tested = [
            {"difference": float(apart[:, at].mean()), "low": low[at], "high": high[at]}
            | _paired(precision[first], precision[second])
            for at, (first, second) in enumerate(pairs)
        ]
        for name in ("p_wilcoxon", "p_t"):
            for one, p in zip(tested, holm([one[name] for one in tested]), strict=True):
                one[name] = p
        for (first, second), one in zip(pairs, tested, strict=True):
            sides = {"view": view, "first": first[1], "second": second[1], "route": first[2]}
            rows.append({**sides, "against": second[2], "k": k, **one})
    return pd.DataFrame(rows)


def _encoders(ways: Ways, view: str) -> Iterator[tuple[tuple[str, str, str], tuple[str, str, str]]]:
    exact = [way for way in ways.answers if way[0] == view and way[2] == EXACT]
    yield from combinations(exact, 2)


def _indexes(ways: Ways, view: str) -> Iterator[tuple[tuple[str, str, str], tuple[str, str, str]]]:
    for way in ways.answers:
        if way[0] == view and way[2] != EXACT:
            yield way, (way[0], way[1], EXACT)


def _paired(first: Values, second: Values) -> dict[str, float]:
    p_t = paired.t_p(first, second)
    return {
        "d": paired.effect_size(first, second),
        "p_wilcoxon": paired.signed_rank_p(first, second),
        "p_t": 1.0 if p_t != p_t else p_t,
    }


def _ways(result: Result) -> dict[tuple[str, str, str], list[Cell]]:
    """Return the cells of every way, in the order of the folds."""
    ways: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in sorted(result.rankings, key=lambda cell: cell.fold):
        ways.setdefault((cell.view, cell.encoder, cell.route), []).append(cell)
    return ways


def _answers(cell: Cell, result: Result, matches: Counts) -> Answers:
    fold, made = result.folds[cell.fold], result.rankings[cell]
    hits = hits_of(made.found, result.population, fold)
    own = np.bincount(result.population.patient)[result.population.patient[fold.units]]
    return Answers(hits, matches, matches / (len(result.population) - own), made.r_precision, made.recall)


def _join(parts: Sequence[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.hits for part in parts]),
        np.concatenate([part.matches for part in parts]),
        np.concatenate([part.base for part in parts]),
        np.concatenate([part.r_precision for part in parts]),
        {k: np.concatenate([part.recall[k] for part in parts]) for k in parts[0].recall},
    )


def _cohorts(ways: Ways) -> Iterator[tuple[str, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]]:
    cohort = np.array(ways.cohort)
    yield ALL, np.ones(len(cohort), np.bool_)
    names = dict.fromkeys(ways.cohort)
    for name in names if len(names) > 1 else ():
        yield name, cohort == name


def _named(way: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("view", "encoder", "route"), way, strict=True))


def _told(values: Values) -> dict[str, Values]:
    """Return mean, standard deviation and interval of each column, (questions, m), over those that have a value."""
    low, high = intervals.of_means(values, np.random.default_rng(_SEED))
    frame = pd.DataFrame(values)
    return {
        "questions": frame.count().to_numpy(),
        "mean": frame.mean().to_numpy(),
        "sd": frame.std().to_numpy(),
        "low": low,
        "high": high,
    }
