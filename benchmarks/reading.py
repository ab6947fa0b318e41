"""Tables read and typed: ours, strict and fast, beside plain pyarrow.csv and DuckDB, which type nothing, in one run.

Invented rows in MIMIC-III's shape: laboratory rows in panels of fifteen, and notes of many lines with quotes in them;
three items of 400 alone; and both tables with a quote too much in one of 20,000 lines. Processor time, best of some
rounds, on one thread of work. Bars: a million laboratory rows per second of a core read and typed, half a million dealt
to parts, too, and 99 % of a sound file's bytes the fast way.
"""

import csv
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from cohorts.records.tables.columns import Kind, Table, read_table
from cohorts.records.tables.partition import Partition
from cohorts.records.tables.reading import read_rows

ROUNDS = 2
EVERY = 20_000
LABS = Table(
    "LABEVENTS",
    {
        "subject_id": Kind.KEY,
        "hadm_id": Kind.REFERENCE,
        "itemid": Kind.KEY,
        "charttime": Kind.TIME_OR_NONE,
        "valuenum": Kind.NUMBER,
        "valueuom": Kind.TEXT,
    },
)
NOTES = Table(
    "NOTEEVENTS",
    {
        "subject_id": Kind.KEY,
        "hadm_id": Kind.REFERENCE,
        "charttime": Kind.TIME_OR_NONE,
        "category": Kind.TEXT,
        "iserror": Kind.FLAG,
        "text": Kind.TEXT,
    },
)
WORDS = 'patient was seen, and is "stable"; denies pain. given 40 mg daily, then home with services'.split()  # noqa: SIM905


def write_labs(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    people = np.sort(rng.integers(10_000, 30_000, rows // 15 + 1)).repeat(15)[:rows]
    times = (
        (np.datetime64("2150-01-01T00:00:00") + rng.integers(0, 10**9, rows // 15 + 1)).astype(str).repeat(15)
    )
    values = np.round(rng.gamma(2, 20, rows), 1)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["row_id", *LABS.columns, "value", "flag"])
        for row, (person, value) in enumerate(zip(people.tolist(), values.tolist(), strict=True)):
            stay = "" if row % 45 < 9 else person + 100_000
            when = times[row].replace("T", " ")
            flag = "abnormal" if row % 3 == 0 else ""
            writer.writerow([row, person, stay, 50_800 + row % 400, when, value, "mg/dL", value, flag])


def write_notes(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["row_id", *NOTES.columns])
        for row, words in enumerate(rng.integers(50, 500, rows).tolist()):
            lines = [" ".join(rng.choice(WORDS, 12)) for _ in range(words // 12)]
            writer.writerow([row, row // 9, row // 4, "2150-01-01 10:00:00", "Nursing", "", "\n".join(lines)])


def dealt(path: Path, table: Table) -> int:
    """Read the rows and deal them to parts by patient, on disk; return how many there are."""
    rows, size = 0, path.stat().st_size
    with tempfile.TemporaryDirectory() as name, closing(Partition(Path(name), size)) as parts:
        for chunk in read_table(path, table):
            parts.add(table.name, chunk.rows, "subject_id")
            rows += chunk.rows.num_rows
        parts.finish(table.name, "subject_id")
    return rows


def break_rows(path: Path, every: int) -> Path:
    """Write the file with a quote too much in one of so many lines."""
    broken = path.with_stem(f"{path.stem}-{every}")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[every::every] = [line.replace(b",", b',"x', 1) for line in lines[every::every]]
    broken.write_bytes(b"".join(lines))
    return broken


def ours(path: Path, table: Table) -> Counter[str]:
    """Return how many rows were good, and bytes by the way that they went."""
    counts: Counter[str] = Counter()
    for chunk in read_table(path, table):
        counts.update(rows=len(chunk.rows), fast=chunk.bytes_fast, strict=chunk.bytes_strict)
    return counts


def by_pyarrow(path: Path, table: Table) -> object:
    text = dict.fromkeys(table.columns, pa.string())
    return pyarrow.csv.read_csv(
        path,
        pyarrow.csv.ReadOptions(use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types=text, include_columns=list(table.columns)),
    )


def by_duckdb(path: Path, table: Table) -> object:
    duckdb = import_module("duckdb")
    asked = f"from read_csv('{path}', header=true, all_varchar=true) select {', '.join(table.columns)}"
    return duckdb.connect(config={"threads": 1}).sql(asked).to_arrow_table()


def seconds(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return each one's least processor time of some interleaved rounds."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, work in contenders.items():
            began = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - began)
    return best


def measure(path: Path, table: Table) -> tuple[float, float]:
    """Print the table of one file; return rows per second, ours, and the share of bytes that went the fast way."""
    contenders: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(path, table),
        "strict, not typed": lambda: sum(len(rows.values) for rows in read_rows(path, list(table.columns))),
        "pyarrow.csv": lambda: by_pyarrow(path, table),
    }
    if find_spec("duckdb"):
        contenders["DuckDB"] = lambda: by_duckdb(path, table)
    counts, size = ours(path, table), path.stat().st_size
    share = counts["fast"] / (counts["fast"] + counts["strict"])
    print(f"{table.name}: {counts['rows']:,} good rows, {size / 1e6:.0f} MB, {share:.2%} the fast way")
    best = seconds(contenders)
    for name, spent_s in best.items():
        rates = f"{counts['rows'] / spent_s / 1e6:6.3f} M rows/s  {size / spent_s / 1e6:6.0f} MB/s"
        print(f"  {name:18} {rates}  {spent_s / best['ours']:6.2f} times ours", flush=True)
    return counts["rows"] / best["ours"], share


def main() -> int:
    """Run it and print the ratios."""
    with tempfile.TemporaryDirectory() as name:
        labs, notes = Path(name) / "LABEVENTS.csv", Path(name) / "NOTEEVENTS.csv"
        write_labs(labs, 300_000)
        write_notes(notes, 10_000)
        rate, share = measure(labs, LABS)
        dealt_rate = 300_000 / seconds({"ours": lambda: dealt(labs, LABS)})["ours"]
        print(f"read, typed and dealt to parts on disk: {dealt_rate / 1e6:.3f} M rows/s")
        _, share_of_notes = measure(notes, NOTES)
        few = replace(LABS, only={"itemid": frozenset({"50800", "50900", "51000"})})
        spent_s = seconds({"ours": lambda: ours(labs, few)})["ours"]
        print(f"three items alone: {300_000 / spent_s / 1e6:.3f} M rows read/s")
        for path, table in ((labs, LABS), (notes, NOTES)):
            broken = break_rows(path, EVERY)
            counts = ours(broken, table)
            spent_s = seconds({"ours": lambda broken=broken, table=table: ours(broken, table)})["ours"]
            share_of_broken = counts["fast"] / (counts["fast"] + counts["strict"])
            print(
                f"{table.name}, a quote too much in one of {EVERY:,} lines: {counts['rows']:,} good rows, "
                f"{broken.stat().st_size / spent_s / 1e6:.0f} MB/s, {share_of_broken:.1%} the fast way"
            )
    return int(rate < 1e6 or dealt_rate < 5e5 or min(share, share_of_notes) < 0.99)


if __name__ == "__main__":
    sys.exit(main())
