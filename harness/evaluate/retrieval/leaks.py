"""What could flatter the figures: cohort codes and mentions that encoders see, patients learnt from, notes too late.

Codes are told by a list of this report's own, `leak_codes.toml`: what withholding forgets is counted as left.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

import pandas as pd
from cohorts.harness.evaluate.retrieval.population import Population
from cohorts.harness.evaluate.retrieval.questions import Fold
from cohorts.records.base import Batch
from cohorts.records.codes.prefixes import FIELDS
from cohorts.records.withheld import Withheld
from cohorts.reports.long_table import Record


def find_leaks(
    view: str, cohorts: Sequence[str], whole: Iterable[Batch], seen: Iterable[Batch]
) -> tuple[list[Record], Record]:
    """Compare what the records hold with what encoders see of them; batches of both come in the same order.

    A row for each cohort counts diagnosis codes that state it, and mentions in notes, taken out and left. One row
    counts the notes that encoders see: all, those written after the admission described had ended, and without a time.
    """
    there, left = _Counts(cohorts), _Counts(cohorts)
    for before, after in zip(whole, seen, strict=True):
        there.add(before)
        left.add(after)
    leaks: list[Record] = [
        {
            "view": view,
            "cohort": name,
            "codes_taken": there.codes[name] - left.codes[name],
            "codes_left": left.codes[name],
            "mentions_taken": there.mentions[name] - left.mentions[name],
            "mentions_left": left.mentions[name],
        }
        for name in cohorts
    ]
    return leaks, {"view": view, **left.notes}


def shared_patients(population: Population, folds: Sequence[Fold]) -> int:
    """Return how many patients are asked about and learnt from in one fold: 0, or the split failed."""
    return sum(
        len({*population.patient[fold.units]} & {*population.patient[fold.training]}) for fold in folds
    )


def verdict(leaks: Sequence[Record], shared: int) -> list[str]:
    """Return what is wrong, in sentences; nothing where the codes are withheld and no patient is on both sides."""
    told = [
        f"{leak['codes_left']:,} codes that state {leak['cohort']} stand in what encoders see ({leak['view']}): "
        "neighbours may be found by what they are judged by."
        for leak in leaks
        if leak["codes_left"]
    ]
    return told + ([f"{shared:,} patients are asked about and learnt from."] if shared else [])


class _Counts:
    def __init__(self, cohorts: Sequence[str]) -> None:
        self.codes, self.mentions = Counter[str](), Counter[str]()
        self.notes = Counter({"notes": 0, "after_discharge": 0, "without_time": 0})
        self._patterns = {name: Withheld((name,), text=True).pattern for name in cohorts}

    def add(self, batch: Batch) -> None:
        diagnoses = batch.codes[batch.codes["kind"] == "diagnosis"]
        many = Counter(zip(diagnoses["system"], diagnoses["code"], strict=True))
        texts, time = batch.notes["text"].tolist(), batch.notes["time"]
        for name, pattern in self._patterns.items():
            self.codes[name] += sum(times for code, times in many.items() if _states(name, *code))
            self.mentions[name] += sum(len(pattern.findall(text)) for text in texts)
        units = batch.units.set_index("unit_id")
        ended = (units["admitted"] + pd.to_timedelta(units["stay_days"], unit="D")).dt.round("s")
        late = int((time > batch.notes["unit_id"].map(ended)).sum())
        missing = int(time.isna().sum())
        self.notes.update({"notes": len(texts), "after_discharge": late, "without_time": missing})


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
