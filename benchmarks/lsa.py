"""The encoder lsa on one core: megabytes of notes per second of fit and encode together, and what each part takes.

Texts are reports of mtsamples, their sentences dealt anew until there are some 100 MB, each with a word that no other
has; without mtsamples beside the checkout nothing is measured. Bar: 8 MB of notes per second of one core. On two cores
it is told how much faster it is by the clock.
"""

import os
import random
import sys
import time

import pandas as pd
import sklearn.utils.extmath  # noqa: F401 - loads the BLAS whose threads are limited
from cohorts.encoders.lsa import Lsa
from pooling import MTSAMPLES, Notes
from threadpoolctl import threadpool_limits

MEGABYTES = 100
BAR_MB_S = 8.0
LONG = (20, 40, 80)  # sentences of a unit


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


def taken(source: Notes) -> list[tuple[float, float]]:
    """Return the seconds of fit, and of encode: of the processor, and by the clock."""
    encoder, made = Lsa(), []
    for work in (lambda: encoder.fit(source), lambda: encoder.encode(source.batch)):
        began, began_s = time.process_time(), time.perf_counter()
        work()
        made.append((time.process_time() - began, time.perf_counter() - began_s))
    return made


def main() -> int:
    """Measure and print; return 1 where the bar is missed."""
    if not MTSAMPLES.is_file():
        print("mtsamples is not beside the checkout: nothing is measured.")
        return 0
    texts = dealt(MEGABYTES)
    source, size = Notes(texts, synthetic=False), sum(len(text.encode()) for text in texts) / 1e6
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    with threadpool_limits(1):
        (fit, fit_by_clock), (encode, encode_by_clock) = taken(source)
    rate = size / (fit + encode)
    print(
        f"{size:,.0f} MB of notes, {len(texts):,} units: fit {fit:.1f} s, encode {encode:.1f} s of one core"
    )
    os.sched_setaffinity(0, cores[:2])
    (_, two_fit), (_, two_encode) = taken(source)
    print(f"fit and encode: {rate:.2f} MB/s (bar {BAR_MB_S:.0f}); on two cores by the clock", end=" ")
    print(f"{fit_by_clock / two_fit:.2f} and {encode_by_clock / two_encode:.2f} times as fast")
    return int(rate < BAR_MB_S)


if __name__ == "__main__":
    sys.exit(main())
