"""What could flatter the figures: cohort codes and mentions that encoders see, patients learnt from, notes too late.

Codes are told by a list of this report's own, `leak_codes.toml`: what withholding forgets is counted as left.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd
from cohorts.harness.evaluate.retrieval.population import Population
from cohorts.harness.evaluate.retrieval.questions import Fold
from cohorts.records.base import Batch
from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.records.codes.prefixes import FIELDS
from cohorts.records.withheld import Withheld


class Leak(NamedTuple):
    """Of one cohort, in what encoders see: diagnosis codes that state it, and mentions in notes, taken out and left."""

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
        f"{leak.codes_left:,} codes that state {leak.cohort} stand in what encoders see ({leak.view}): neighbours may "
        "be found by what they are judged by."
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
        self._cohorts, self._patterns = cohorts, _patterns(cohorts)

    def add(self, batch: Batch) -> None:
        diagnoses = batch.codes[batch.codes["kind"] == "diagnosis"]
        many = Counter(zip(diagnoses["system"], diagnoses["code"], strict=True))
        for name in self._cohorts:
            self.codes[name] += sum(
                times for (system, code), times in many.items() if _states(name, system, code)
            )
        texts = batch.notes["text"].tolist()
        for name, pattern in self._patterns.items():
            self.mentions[name] += sum(len(pattern.findall(text)) for text in texts)
        units = batch.units.set_index("unit_id")
        ended = units["admitted"] + pd.to_timedelta(units["stay_days"], unit="D")
        self.notes += len(texts)
        self.after_discharge += int((batch.notes["time"] > batch.notes["unit_id"].map(ended)).sum())
        self.without_time += int(batch.notes["time"].isna().sum())


@cache
def leak_codes() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return, by cohort and classification, the prefixes of the codes that state it (no dots)."""
    text = files("cohorts.harness.evaluate.retrieval").joinpath("leak_codes.toml").read_text(encoding="utf-8")
    return {
        name: {system: tuple(entry[field]) for system, field in FIELDS.items()}
        for name, entry in tomllib.loads(text).items()
    }


def _states(cohort: str, system: str, code: str) -> bool:
    return isinstance(code, str) and code.startswith(leak_codes()[cohort].get(system, ()))


def _patterns(cohorts: Sequence[str]) -> Mapping[str, re.Pattern[str]]:
    return {
        one.name: Withheld((one.name,), text=True).pattern for one in load_phenotypes() if one.name in cohorts
    }
