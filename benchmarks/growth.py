"""Growth of an ingest: 40,000 against 4,000 synthetic patients. Bars: 11 times the time, 1.3 times the peak memory."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (4_000, 40_000)


def ingest(folder: Path, patients: int) -> tuple[float, float]:
    """Return seconds and peak MiB of one ingest into embedded Qdrant, in a process of its own."""
    cohorts = [sys.executable, "-c", "from cohorts.cli import main; main()"]
    hospital = folder / f"hospital-{patients}"
    subprocess.run(
        [*cohorts, "synth", hospital, "--patients", str(patients)], check=True, capture_output=True
    )
    store = ["--store", f"qdrant:{folder}/{patients}.qdrant"]
    subprocess.run(
        [*cohorts, "ingest", "--source", "mimic3", "--path", hospital, *store],
        check=True,
        capture_output=True,
    )
    manifest = json.loads((folder / f"{patients}.qdrant.runs" / "cohorts" / "manifest.json").read_text())
    print(
        f"synthetic, {patients:,} patients: {manifest['total_s']} s, {manifest['peak_rss_mib']} MiB",
        flush=True,
    )
    print(f"  seconds: {manifest['seconds']}", flush=True)
    return manifest["total_s"], manifest["peak_rss_mib"]


def main() -> int:
    """Run it and print the ratios."""
    with tempfile.TemporaryDirectory() as name:
        (small_s, small_mib), (large_s, large_mib) = (ingest(Path(name), patients) for patients in SIZES)
    print(
        f"ten times the patients: {large_s / small_s:.2f} times the time, {large_mib / small_mib:.2f} the memory"
    )
    return int(large_s > 11 * small_s or large_mib > 1.3 * small_mib)


if __name__ == "__main__":
    sys.exit(main())
