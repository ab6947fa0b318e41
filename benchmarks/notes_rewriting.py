"""Notes rewritten for `--deidentify` and `--context`: our code now beside that of commit 1086283, in one run.

Texts are every second report of mtsamples and every fourth synthetic note, each once. Both take turns at parts of them.
Processor seconds per MB, and how many times as fast: the bar is 10. The old code is read from git: without its history,
or without mtsamples beside the checkout, nothing is measured. The old de-identification takes presidio-analyzer, which
ours does not: without it (`pip install presidio-analyzer`) only `--context` is measured.
"""

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd
from cohorts.records.notes import context, deidentify
from cohorts.records.synthetic.hospital import synthesize
from pooling import MTSAMPLES

BEFORE = "1086283"
PARTS = 8
ROOT = Path(__file__).resolve().parents[1]


Rewrite = Callable[[str], object]


def old_ways(folder: Path) -> tuple[Rewrite, Rewrite | None]:
    """Return what masks by context and what puts placeholders, of the old commit, imported beside ours."""
    packed = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        sys.exit(f"{BEFORE} is not in this clone's history: nothing measured")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / "cohorts", filter="data")
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "cohorts"}
    finders = sys.meta_path[:]
    sys.meta_path[:] = [finder for finder in finders if "editable" not in repr(finder).lower()]
    sys.path.insert(0, str(folder))
    mask = importlib.import_module("cohorts.records.context").mask
    mask("Denies fever.")  # what it reads from its package it reads now
    placeholders = None
    if importlib.util.find_spec("presidio_analyzer"):
        placeholders = importlib.import_module("cohorts.records.deidentify").Deidentifier().replace
    sys.path.pop(0)
    sys.meta_path[:] = finders
    sys.modules.update(ours)
    return mask, placeholders


def spent(rewrite: Rewrite, texts: Sequence[str]) -> float:
    """Return the processor seconds that it takes."""
    began = time.process_time()
    for text in texts:
        rewrite(text)
    return time.process_time() - began


def main() -> None:
    """Print a line per kind of notes."""
    if not MTSAMPLES.exists():
        sys.exit("mtsamples is not beside this checkout: nothing measured")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesize(folder / "hospital", 300, seed=0)
        notes = {
            "mtsamples": pd.read_csv(MTSAMPLES)["text"].dropna().tolist()[::2],
            "synthetic": pd.read_csv(folder / "hospital" / "NOTEEVENTS.csv")["TEXT"].tolist()[::4],
        }
        now_replace = deidentify.Deidentifier().replace
        old_mask, old_replace = old_ways(folder)
        for task, before, now in (
            ("--context", old_mask, context.mask),
            ("--deidentify", old_replace, now_replace),
        ):
            if before is None:
                print(f"{task}: presidio-analyzer is not installed, nothing measured")
                continue
            now("Denies fever, seen 3/14/2019.")
            before("Denies fever, seen 3/14/2019.")
            for kind, texts in notes.items():
                megabytes = sum(map(len, texts)) / 1e6
                parts = [texts[part::PARTS] for part in range(PARTS)]
                took = [(spent(before, part), spent(now, part)) for part in parts]
                was, is_now = (sum(times) / megabytes for times in zip(*took, strict=True))
                print(f"{task} {kind}: {was:.2f} s/MB, now {is_now:.3f}: {was / is_now:.1f} times as fast")


if __name__ == "__main__":
    main()
