"""How fast FHIR is read by one core, and in how much memory: four of Synthea's Bundles repeated, SYNTHETIC.

    taskset -c 0 .venv/bin/python benchmarks/fhir.py [GB] [FOLDER]

makes the files (Bundles, one Bundle of all, and NDJSON of the same resources), and reads each in a process of its own:
flattened alone, and whole, to the last batch. Megabytes are 10^6 bytes of JSON as it is read.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil

BUNDLES = Path("/work/shared/data/synthea-notes/fhir")
READ = """
import resource, sys, tempfile, time
from pathlib import Path
path, how = Path(sys.argv[1]), sys.argv[2]
began = time.process_time()
from cohorts.records.sources.fhir.files import fhir_files
from cohorts.records.sources.fhir.flatten import flatten
from cohorts.records.sources.registry import open_source
started = time.process_time()
rows = 0
with tempfile.TemporaryDirectory() as work:
    if how == "flat":
        flatten(fhir_files(path), Path(work))
    else:
        with open_source("fhir", path, work_dir=Path(work), quarantine_file=Path(work) / "bad.csv") as source:
            for batch in source.batches():
                rows += sum(map(len, batch.of_units().values()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(started - began, time.process_time() - started, peak / 1024, rows)
"""
_UUID = re.compile(rb"[0-9a-f]{8}(?=-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


def copies(most_bytes: float) -> Iterator[bytes]:
    """Yield the Bundles again and again, each time with other ids, until there are so many bytes."""
    originals = [gzip.decompress(file.read_bytes()) for file in sorted(BUNDLES.glob("*.json.gz"))]
    made = copy = 0
    while made < most_bytes:
        for raw in originals:
            yield (
                changed := _UUID.sub(
                    lambda found: b"%08x" % ((int(found[0], 16) + copy * 2654435761) & 0xFFFFFFFF),  # noqa: B023
                    raw,
                )
            )
            made += len(changed)
        copy += 1


def write(folder: Path, most_bytes: float) -> dict[str, Path]:
    """Write the three forms; return where each is."""
    paths = {name: folder / name for name in ("Bundles", "one Bundle", "NDJSON")}
    for path in paths.values():
        path.mkdir(parents=True)
    kinds = {}
    with (paths["one Bundle"] / "all.json").open("wb") as one:
        one.write(b'{"resourceType": "Bundle", "type": "collection", "entry": [')
        for number, raw in enumerate(copies(most_bytes)):
            (paths["Bundles"] / f"{number:06}.json").write_bytes(raw)
            begin, end = raw.index(b'"entry": [') + len(b'"entry": ['), raw.rindex(b"]")
            one.write((b"," if number else b"") + raw[begin:end])
            for entry in orjson.loads(raw)["entry"]:
                kind = entry["resource"]["resourceType"]
                if kind not in kinds:
                    kinds[kind] = (paths["NDJSON"] / f"{kind}.ndjson").open("wb")
                kinds[kind].write(orjson.dumps(entry["resource"]) + b"\n")
        one.write(b"]}")
    for stream in kinds.values():
        stream.close()
    return paths


def measured(path: Path, how: str) -> tuple[float, float, float, int]:
    """Return the seconds of a core for imports and for reading, the peak in MiB, and the rows."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), how],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    imports, seconds, peak, rows = done.stdout.split()
    print(f"  {how}: {time.perf_counter() - began:.1f} s by the clock", file=sys.stderr)
    return float(imports), float(seconds), float(peak), int(rows)


def main() -> None:
    most_bytes = float(sys.argv[1]) * 1e9 if len(sys.argv) > 1 else 1e9
    cores = psutil.Process().cpu_affinity()
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        for name, path in write(Path(folder), most_bytes).items():
            size = sum(file.stat().st_size for file in path.iterdir())
            for how in ("flat", "whole"):
                imports, seconds, peak, rows = measured(path, how)
                told = {
                    "form": name,
                    "how": how,
                    "MB": round(size / 1e6),
                    "import_s": round(imports, 2),
                    "cpu_s": round(seconds, 2),
                    "MB_per_s": round(size / 1e6 / seconds, 1),
                    "peak_mib": round(peak),
                    "rows": rows,
                    "cores": len(cores),
                }
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
