"""`lsa`, and the default encoder, on one core: megabytes of notes per second of fit and encode together.

Texts are reports of mtsamples, their sentences dealt anew until there are some 100 MB (or as many as are asked for),
each with a word that no other has; without mtsamples beside the checkout nothing is measured. Every unit has some codes
for the default encoder, drawn by lot (SYNTHETIC). Bar: 8 MB of notes per second of one core. On two cores it is told
how much faster it is by the clock.
"""

import os
import random
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import sklearn.utils.extmath  # noqa: F401 - loads the BLAS whose threads are limited
from cohorts.encoders.registry import DEFAULT, make_encoder
from cohorts.records.base import CODE_COLUMNS, typed
from pooling import MTSAMPLES, Notes
from threadpoolctl import threadpool_limits

MEGABYTES = 100
BAR_MB_S = 8.0
LONG = (20, 40, 80)  # sentences of a unit
CODES, KINDS_OF_CODES = 15, 5_000  # of a unit, and in all


def dealt(megabytes: int) -> list[str]:
    """Return texts made of sentences of the reports, of so many MB."""
    draw = random.Random(0)
    sentences = [part for text in pd.read_csv(MTSAMPLES)["text"].dropna() for part in text.split(". ")]
    made, size = [], 0
    while size < megabytes * 1_000_000:
        text = ". ".join(draw.choices(sentences, k=draw.choice(LONG))) + f" word{draw.randrange(10**7)}"
        made.append(text)
        size += len(text.encode())
    return made


def source_of(texts: list[str]) -> Notes:
    """Return a source of these notes, a unit each, with codes of which some are common and most are rare."""
    source, rng = Notes(texts, synthetic=False), np.random.default_rng(0)
    units = source.batch.units["unit_id"].repeat(CODES)
    drawn = rng.geometric(10 / KINDS_OF_CODES, len(units)) % KINDS_OF_CODES
    codes = pd.DataFrame({"unit_id": units, "kind": "diagnosis", "system": "ICD-9", "code": 10_000 + drawn})
    codes = codes.drop_duplicates().astype({"code": "str"}).reset_index(drop=True)
    source.batch = replace(source.batch, codes=typed(codes, CODE_COLUMNS))
    return source


def taken(encoder: str, source: Notes) -> list[tuple[float, float]]:
    """Return the seconds of fit, and of encode: of the processor, and by the clock."""
    one, made = make_encoder(encoder), []
    for work in (lambda: one.fit(source), lambda: one.encode(source.batch)):
        began, began_s = time.process_time(), time.perf_counter()
        work()
        made.append((time.process_time() - began, time.perf_counter() - began_s))
    return made


def measure(encoder: str, source: Notes, size: float, cores: list[int]) -> bool:
    """Measure an encoder on so many MB, print, and tell whether the bar is missed."""
    os.sched_setaffinity(0, cores[:1])
    with threadpool_limits(1):
        (fit, fit_by_clock), (encode, encode_by_clock) = taken(encoder, source)
    os.sched_setaffinity(0, cores[:2])
    (_, two_fit), (_, two_encode) = taken(encoder, source)
    rate = size / (fit + encode)
    print(
        f"{encoder}: fit {fit:.1f} s, encode {encode:.1f} s of one core: {rate:.2f} MB/s (bar {BAR_MB_S:.0f}); on two "
        f"cores by the clock {fit_by_clock / two_fit:.2f} and {encode_by_clock / two_encode:.2f} times as fast"
    )
    return rate < BAR_MB_S


def main(megabytes: int) -> int:
    """Measure and print; return 1 where the bar is missed."""
    if not MTSAMPLES.is_file():
        print("mtsamples is not beside the checkout: nothing is measured.")
        return 0
    texts = dealt(megabytes)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{size:,.0f} MB of notes, {len(texts):,} units, codes SYNTHETIC")
    source, cores = source_of(texts), sorted(os.sched_getaffinity(0))
    return max(int(measure(encoder, source, size, cores)) for encoder in ("lsa", DEFAULT))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else MEGABYTES))
