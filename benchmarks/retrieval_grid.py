"""The whole grid of `cohorts evaluate retrieval` on a synthetic hospital: encoders × both embedded engines × indexes.

Text encoders read checkpoints of random weights, which are laid into a Hugging Face cache under the published names:
the figures say that the code runs, how long it takes and what memory, and nothing of those models. What was ranked
already is not ranked again; a second run shows what that takes.

    PYTHONPATH=tests python benchmarks/retrieval_grid.py [PATIENTS [QUESTIONS OF A COHORT]]
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from checkpoints import in_cache, make_checkpoint
from cohorts.encoders.bert import clinicalnotebert
from cohorts.encoders.bert.checkpoints import PRESETS
from cohorts.records.base import joined_notes
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize

OUT = Path("out/bench/retrieval")
ENCODERS = (
    "word2vec",
    *(f"fineehr:{setting}" for setting in ("baseline", "metric", "weight", "full")),
    "bert:clinicalbert",
    "bert:biobert",
    *(f"fused:{fusion}" for fusion in ("text", "structured", "concat", "gated", "attention")),
    "clinicalnotebert:base",
)
STORES = (f"qdrant:{OUT}/qdrant", f"milvus:{OUT}/milvus.db")
INDEXES = ("hnsw:m=32,ef_construction=400 ef_search=128", "ivf:nlist=64 nprobe=8", "annoy:n_trees=100")


def make_hospital(patients: int) -> Path:
    """Write the hospital, and beside it a cache with a checkpoint of its words under each published name."""
    hospital = OUT / f"hospital-{patients}"
    if not hospital.exists():
        synthesize(hospital, patients, seed=1)
    if not (OUT / "hub").exists():
        with open_source("mimic3", hospital, work_dir=OUT, quarantine_file=OUT / "bad.csv") as source:
            texts = [text for batch in source.batches() for text in joined_notes(batch)]
        published = PRESETS["clinicalbert"], PRESETS["biobert"], clinicalnotebert.Settings("base").model
        for seed, name in enumerate(published):
            in_cache(make_checkpoint(OUT / "tiny" / str(seed), texts, seed=seed), OUT / "hub", name)
    return hospital


def rank(hospital: Path, queries: int) -> float:
    """Run the grid as a user would, and return the seconds it took."""
    repeated = {"--encoder": ENCODERS, "--store": STORES, "--index": INDEXES}
    options = [part for name, values in repeated.items() for value in values for part in (name, value)]
    kept = OUT / f"{hospital.name}-{queries}"
    command = ["evaluate", "retrieval", "--source", "mimic3", "--path", hospital, "--out", kept, *options]
    environment = os.environ | {
        "HF_HUB_CACHE": str(OUT.resolve() / "hub"),
        "COHORTS_CACHE": str(OUT.resolve() / "notes"),
    }
    begun = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).with_name("cohorts"), *command, "--queries", str(queries), "--withhold-text"],
        env=environment,
        check=True,
    )
    return time.perf_counter() - begun


def main(patients: int = 2_000, queries: int = 100) -> None:
    """Run the grid, and once more with everything ranked."""
    hospital = make_hospital(patients)
    for title in ("from nothing, or what was left", "again, with everything ranked"):
        took = rank(hospital, queries)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{title}: {took / 60:.1f} min, peak {peak:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
