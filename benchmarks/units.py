"""Measurements into one system of units, on one core, in one run.

Rows are made up: items of MIMIC's laboratory and charts, each in its own unit, a fifth of them unknown, one in fifty
without a value. Bars: 20 M rows per core-second where items and units come as dictionaries; where they come as text, at
most 3 times what `dictionary_encode` of the three columns takes, which any way by distinct values has to do first.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.measured.measures import load_measures
from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.one_system import to_one_system

ROWS, ROUNDS, TEXTS = 8_000_000, 3, ("code", "loinc", "uom")


def rows() -> pa.Table:
    """Return measurements whose columns are text."""
    known = [
        (id_, load_measures()[one.name]) for id_, one in mimic_items().items() if one.name in load_measures()
    ]
    kinds = [(id_, measure.loinc[0] if measure.loinc else None, measure.unit) for id_, measure in known]
    kinds += [(str(60_000 + place), None, None) for place in range(len(kinds) // 4)]
    random = np.random.default_rng(2026)
    chosen = pa.array(random.integers(0, len(kinds), ROWS))
    texts = [pa.array(column, pa.string()).take(chosen) for column in zip(*kinds, strict=True)]
    values = pa.array(random.gamma(3.0, 20.0, ROWS), mask=random.random(ROWS) < 0.02)
    return pa.table({**dict(zip(TEXTS, texts, strict=True)), "value": values})


def core_s(work: Callable[[], object]) -> float:
    """Return the processor's time for some work, the median of several."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    """Print rows per core-second, and the ratio to encoding alone."""
    pa.set_cpu_count(1)
    as_text = rows()
    encoded = {name: pc.dictionary_encode(as_text[name]) for name in TEXTS}
    as_dictionaries = pa.table({**encoded, "value": as_text["value"]})
    encoding_s = core_s(lambda: [pc.dictionary_encode(as_text[name]) for name in TEXTS])
    for name, table in (("text", as_text), ("dictionaries", as_dictionaries)):
        taken_s = core_s(lambda table=table: to_one_system(table, mimic=True))
        print(
            f"{name}: {ROWS / taken_s / 1e6:.1f} M rows per core-second, "
            f"{taken_s / encoding_s:.2f} × encoding three columns of text"
        )


if __name__ == "__main__":
    main()
