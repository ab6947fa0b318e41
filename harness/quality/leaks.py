"""What could flatter the figures: cohort codes and mentions that encoders see, patients learnt from, notes too late."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from cohorts.encoders.withholding import Withheld
from cohorts.harness.quality.population import Population
from cohorts.harness.quality.questions import Fold
from cohorts.records.base import Batch
from cohorts.records.phenotyping import load_phenotypes, phenotypes_of


class Leak(NamedTuple):
    """Of one cohort, in what encoders see: diagnosis codes and mentions in notes that are left, and were taken out."""

    view: str
    cohort: str
    codes_taken: int
    codes_left: int
    mentions_taken: int
    mentions_left: int


class Late(NamedTuple):
    """Notes that encoders see: all, those written after the admission described had ended, those without a time."""

    view: str
    notes: int
    after_discharge: int
    without_time: int


def find_leaks(
    view: str, cohorts: Sequence[str], whole: Iterable[Batch], seen: Iterable[Batch]
) -> tuple[list[Leak], Late]:
    """Compare what the records hold with what encoders see of them; batches of both come in the same order."""
    there, left = _Counts(cohorts), _Counts(cohorts)
    for before, after in zip(whole, seen, strict=True):
        there.add(before)
        left.add(after)
    leaks = [
        Leak(
            view,
            name,
            there.codes[name] - left.codes[name],
            left.codes[name],
            there.mentions[name] - left.mentions[name],
            left.mentions[name],
        )
        for name in cohorts
    ]
    return leaks, Late(view, left.notes, left.after_discharge, left.without_time)


def shared_patients(population: Population, folds: Sequence[Fold]) -> int:
    """Return how many patients are asked about and learnt from in one fold: 0, or the split failed."""
    return sum(
        len({*population.patient[fold.units]} & {*population.patient[fold.training]}) for fold in folds
    )


def verdict(leaks: Sequence[Leak], shared: int) -> list[str]:
    """Return what is wrong, in sentences; nothing where the codes are withheld and no patient is on both sides."""
    told = [
        f"{leak.codes_left:,} codes of {leak.cohort} stand in what encoders see ({leak.view}): neighbours may be found "
        "by what they are judged by."
        for leak in leaks
        if leak.codes_left
    ]
    if shared:
        told.append(f"{shared:,} patients are asked about and learnt from.")
    return told


class _Counts:
    def __init__(self, cohorts: Sequence[str]) -> None:
        self.codes: Counter[str] = Counter()
        self.mentions: Counter[str] = Counter()
        self.notes = self.after_discharge = self.without_time = 0
        self._patterns = _patterns(cohorts)

    def add(self, batch: Batch) -> None:
        self.codes.update(phenotypes_of(batch.codes).dropna().tolist())
        texts = batch.notes["text"].tolist()
        for name, pattern in self._patterns.items():
            self.mentions[name] += sum(len(pattern.findall(text)) for text in texts)
        units = batch.units.set_index("unit_id")
        ended = units["admitted"] + pd.to_timedelta(units["stay_days"], unit="D")
        self.notes += len(texts)
        self.after_discharge += int((batch.notes["time"] > batch.notes["unit_id"].map(ended)).sum())
        self.without_time += int(batch.notes["time"].isna().sum())


def _patterns(cohorts: Sequence[str]) -> Mapping[str, re.Pattern[str]]:
    return {
        one.name: Withheld((one.name,), text=True).pattern for one in load_phenotypes() if one.name in cohorts
    }
