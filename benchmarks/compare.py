"""What `cohorts compare` costs on a large hospital: 300,000 patients, made of a synthetic one's records with new ids.

Run by `PYTHONPATH=tests python benchmarks/compare.py [--patients 300000] [--from-run FOLDER]`; it needs no server. A
hospital of 2,000 patients is invented and read once; its kept rows are written again and again, in blocks as an ingest
writes them. The cohort is everybody of 65 or more, compared with the rest, and a twentieth of them with matched
partners: each in a process of its own, so that the peak of memory is that of the comparison alone.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cohorts
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.analysis.compare.comparing import compare
from cohorts.analysis.compare.comparison import Asked, Records
from cohorts.analysis.compare.groups import Members
from cohorts.analysis.compare.records_of import records_of
from cohorts.analysis.history.people import people_of
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Hnsw
from cohorts.private_files import private_folder
from cohorts.records.base import Unit
from cohorts.records.kept.reading import measured, open_kept
from cohorts.records.kept.rows import by_kind, encoded
from cohorts.records.kept.writing import KeptWriter

INVENTED, AT_ONCE = 2_000, 700  # patients; units of a block
OLD, PART = 65, 20  # years; every so manieth of the old is matched
IDS = ("unit_id", "patient_id", "admission_id")


def main() -> None:
    """Make the records, and compare in a process for each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=300_000)
    parser.add_argument("--from-run", type=Path, help="kept records that are there already")
    parser.add_argument("--against", choices=("rest", "matched"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.against:
        print(json.dumps(_measured(asked.from_run, asked.against)))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = asked.from_run or _written(Path(folder), -(-asked.patients // INVENTED))
        for against in ("rest", "matched"):
            own = [sys.executable, __file__, "--from-run", str(run), "--against", against]
            print(subprocess.run(own, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def _written(folder: Path, copies: int) -> Path:
    """Write the records of a synthetic hospital so many times, each time of other patients."""
    hospital, run = folder / "hospital", folder / "run"
    cohorts.synthesize(hospital, patients=INVENTED, seed=7)
    private_folder(run)
    collection = Collection(name="stays", dim=2, index=Hnsw(), metadata={"as_of": "admission+24h"})
    writer = KeptWriter(run)
    with (
        cohorts.open_source("mimic3", hospital, unit="admission") as source,
        records_of(collection, folder, folder, source, lambda *_: None) as records,
    ):
        events, outcomes = records.kept.events.to_table(), records.kept.outcomes.to_table()
    units = pc.unique(outcomes["unit_id"])
    blocks = [
        [table.filter(pc.is_in(table["unit_id"], value_set=some)) for table in (events, outcomes)]
        for some in (units.slice(at, AT_ONCE) for at in range(0, len(units), AT_ONCE))
    ]
    for copy in range(copies):
        for block in blocks:
            told, ended = (_renamed(table, copy) for table in block)
            writer.add_rows(((kind, encoded(rows)) for kind, rows in by_kind(told)), encoded(ended))
    writer.finish()
    files = {name: vars(measured(run / name, writer.rows[name])) for name in writer.rows}
    (run / "manifest.json").write_text(json.dumps({"kept": files}))
    return run


def _renamed(table: Any, copy: int) -> Any:
    for name in IDS:
        column = table[name].combine_chunks().dictionary_encode()
        words = pc.binary_join_element_wise(column.dictionary, f"{copy}", "-")
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.DictionaryArray.from_arrays(column.indices, words))
    return table


def _measured(run: Path, against: str) -> dict[str, object]:
    began, busy = time.perf_counter(), time.process_time()
    kept = open_kept(run)
    people = people_of(kept)
    old = (
        people[people["age"] >= OLD]
        .drop_duplicates("patient_id")
        .iloc[:: PART if against == "matched" else 1]
    )
    cohort = Members("old", list(old.index), list(old["patient_id"]))
    everybody = people["patient_id"].nunique()
    del people, old
    with tempfile.TemporaryDirectory() as told_in:
        records = Records(
            kept=kept,
            collection="stays",
            as_of="admission+24h",
            unit=Unit.ADMISSION,
            folder=Path(told_in),
            synthetic=True,
        )
        told = compare(records, Asked(cohort=cohort, against=against), lambda *_: None)
    return {
        "data": "synthetic",
        "against": against,
        "patients": everybody,
        "groups": told.patients,
        "events": kept.events.count_rows(),
        "clock_s": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - busy, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cores": len(os.sched_getaffinity(0)),
        "load_1_min": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
