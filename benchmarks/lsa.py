"""The encoder lsa on one core: megabytes of notes per second of fit and encode together, and what each part takes.

Texts are reports of mtsamples, their sentences dealt anew until there are some 100 MB, each with a word that no other
has; without mtsamples beside the checkout nothing is measured. Bar: 4 MB of notes per second of one core.
"""

import random
import sys
import time
from collections import Counter
from itertools import pairwise

import pandas as pd
from cohorts.encoders.lsa import Lsa
from cohorts.records.notes.cleaning import clean, count_words, words
from pooling import MTSAMPLES, Notes
from threadpoolctl import threadpool_limits

MEGABYTES = 100
BAR_MB_S = 4.0
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


def main() -> int:
    """Measure and print; return 1 where the bar is missed."""
    if not MTSAMPLES.is_file():
        print("mtsamples is not beside the checkout: nothing is measured.")
        return 0
    texts = dealt(MEGABYTES)
    source, size = Notes(texts, synthetic=False), sum(len(text.encode()) for text in texts) / 1e6
    encoder = Lsa()
    with threadpool_limits(1):
        spent = [time.process_time()]
        for work in (
            lambda: encoder.fit(source),
            lambda: encoder.encode(source.batch),
            lambda: [count_words(text) for text in texts],
            lambda: [Counter(words(clean(text))) for text in texts],
        ):
            work()
            spent.append(time.process_time())
    fit, encode, counted, split = (after - before for before, after in pairwise(spent))
    rate = size / (fit + encode)
    print(
        f"{size:,.0f} MB of notes, {len(texts):,} units: fit {fit:.1f} s, encode {encode:.1f} s of one core"
    )
    print(
        f"fit and encode: {rate:.2f} MB/s (bar {BAR_MB_S:.0f}); words counted {size / counted:.1f} MB/s,",
        end=" ",
    )
    print(f"{split / counted:.2f} times as fast as by clean and words")
    return int(rate < BAR_MB_S)


if __name__ == "__main__":
    sys.exit(main())
