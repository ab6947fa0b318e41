"""Notes to words: megabytes per second of one core, by the steps one by one and many at a time, and on two cores.

Texts are the reports of mtsamples, over and over, where they stand beside the checkout, and notes of the synthetic
hospital. The way of commit 1086283, before there was another, is read from git, and left out where git has it not.
Bars, on each: 12 MB/s of one core, and on two cores 1.8 times as fast by the clock (on an idle machine alone).
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType

import pandas as pd
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.notes.splitting import splits
from cohorts.records.synthetic.hospital import synthesize
from pooling import MTSAMPLES

MEGABYTES = 24
ROUNDS = 5
OLD = "1086283"
BAR_MB_S, BAR_CORES = 12.0, 1.8


def sets(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the notes to measure on, by name, of some `MEGABYTES`."""
    synthesize(folder / "hospital", 1_500, seed=2026)
    yield (
        "synthetic notes",
        sized(pd.read_csv(folder / "hospital" / "NOTEEVENTS.csv")["TEXT"].dropna().tolist()),
    )
    if MTSAMPLES.is_file():
        yield "mtsamples", sized(pd.read_csv(MTSAMPLES)["text"].dropna().tolist())


def sized(texts: list[str]) -> list[str]:
    """Return the texts over and over, of some `MEGABYTES`."""
    times = MEGABYTES * 1e6 / sum(map(len, texts))
    return list(islice(cycle(texts), int(times * len(texts))))


def old_cleaning(folder: Path) -> ModuleType | None:
    """Return cleaning.py as it was, None where git does not have it."""
    root = Path(__file__).resolve().parents[1]
    shown = subprocess.run(
        ["git", "-C", str(root), "show", f"{OLD}:records/cleaning.py"], capture_output=True, check=False
    )
    if shown.returncode:
        return None
    file = folder / "old_cleaning.py"
    file.write_bytes(shown.stdout)
    spec = importlib.util.spec_from_file_location("old_cleaning", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["files"] = lambda _: files("cohorts.records.notes")  # where the abbreviations stand now
    return module


def spent(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the seconds of a clock that it takes."""
    began = clock()
    work()
    return clock() - began


def many_at_once(texts: list[str]) -> None:
    """Split them, and keep nothing."""
    for _ in splits(texts, lambda made: len(made.words)):
        pass


def measure(name: str, texts: list[str], old: ModuleType | None, cores: list[int]) -> bool:
    """Measure on these texts, print, and tell whether a bar is missed."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    few = texts[: len(texts) // 4]
    ways = {"words(clean(text))": lambda: [words(clean(text)) for text in few]}
    if old is not None:
        ways[f"the same at {OLD}"] = lambda: [old.words(old.clean(text)) for text in few]
    os.sched_setaffinity(0, cores[:1])
    many_at_once(texts)  # runs of signs are known then, as they are but for the first notes of a load
    rates = {
        way: size / 4 / min(spent(work, time.process_time) for _ in range(2)) for way, work in ways.items()
    }
    taken: dict[int, list[float]] = {1: [], 2: []}
    core_s = []
    for _ in range(ROUNDS):
        for many, times in taken.items():
            os.sched_setaffinity(0, cores[:many])
            began = time.process_time()
            times.append(spent(lambda: many_at_once(texts), time.perf_counter))
            if many == 1:
                core_s.append(time.process_time() - began)
    rate, faster = size / min(core_s), min(taken[1]) / min(taken[2])
    print(f"{name}: {size:.0f} MB, {len(texts):,} texts")
    for way, its in rates.items():
        print(f"  {way}: {its:.1f} MB/s of one core")
    print(
        f"  many at once: {rate:.1f} MB/s of one core (bar {BAR_MB_S:.0f}), {rate / its:.1f} times as fast",
        end="; ",
    )
    print(f"on two cores {faster:.2f} times as fast by the clock (bar {BAR_CORES})")
    return rate < BAR_MB_S or faster < BAR_CORES


def main() -> int:
    """Run it on all notes there are."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        old = old_cleaning(Path(name))
        return max(int(measure(*one, old, cores)) for one in sets(Path(name)))


if __name__ == "__main__":
    sys.exit(main())
