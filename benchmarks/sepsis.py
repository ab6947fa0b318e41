"""Focal loss against cross-entropy in sepsis prognosis, over several seeds, told as it comes out.

A synthetic hospital; for each seed patients are dealt to five folds anew, and in each the full network is trained with
either loss, the same setting and the same start. What was trained stands in out/bench/sepsis and is not trained again.

    PYTHONPATH=tests python benchmarks/sepsis.py [PATIENTS [SEEDS]]
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.stays import Stays, read_stays
from cohorts.harness.evaluate.base import Run
from cohorts.harness.evaluate.sepsis.cells import Cells
from cohorts.harness.evaluate.sepsis.folds import folds_of
from cohorts.harness.evaluate.sepsis.models import BCE, FULL
from cohorts.harness.evaluate.sepsis.pooled import Pooled
from cohorts.harness.evaluate.sepsis.scores import FoldScores
from cohorts.measures.intervals import student
from cohorts.measures.paired import t_p
from cohorts.measures.prediction.calibration import calibration
from cohorts.measures.prediction.discrimination import auroc, average_precision
from cohorts.measures.prediction.outcomes import once
from cohorts.measures.prediction.thresholds import flagged
from cohorts.records.base import Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize

OUT = Path("out/bench/sepsis")
FOLDS = 5
LOSSES = {FULL: "focal", BCE: "bce"}


def of_seed(stays: Stays, fingerprint: str, settings: Settings) -> dict[str, dict[str, float]]:
    """Return what either loss reaches over all folds of a seed, by measure."""
    folds = folds_of(stays.patients, stays.died, FOLDS, settings.seed)
    pooled = Pooled(folds=folds, died=stays.died, patients=stays.patients, about=stays.about)
    of = {"source": fingerprint, "stays": len(stays), "folds": FOLDS, "seed": settings.seed}
    for fold in folds:
        scores = FoldScores(
            stays=stays,
            fold=fold,
            settings=settings,
            grid={},
            cells=Cells(OUT / "cells", of),
            run=Run(tell=lambda line: print(line, flush=True)),
            told=f"seed {settings.seed}, fold {fold.number + 1} of {FOLDS}",
        )
        for name, loss in LOSSES.items():
            list(pooled.fill(name, fold, scores.network(name, replace(settings, loss=loss))))
    made: dict[str, dict[str, float]] = {}
    for name, own in pooled.predicted.items():
        shares = flagged(stays.died, own.flags, once(len(stays)))
        before, after = (calibration(stays.died, logit) for logit in (own.score, own.after))
        made[name] = {
            "AUROC": mean(auroc(stays.died[one.test], own.score[one.test]) for one in folds),
            "AUC-PR": mean(average_precision(stays.died[one.test], own.score[one.test]) for one in folds),
            "F1": float(shares.f1[0]),
            "recall": float(shares.recall[0]),
            "specificity": float(shares.specificity[0]),
            "slope before": float(before.slope[0]),
            "slope after": float(after.slope[0]),
            "Brier after": float(after.brier[0]),
        }
    return made


def main(patients: int = 14_000, seeds: int = 5) -> None:
    """Train, and print the mean of each measure, and focal less cross-entropy with Student's interval."""
    hospital = OUT / f"hospital-{patients}"
    if not hospital.exists():
        synthesize(hospital, patients, seed=1)
    with open_source(
        "mimic3", hospital, unit=Unit.ADMISSION, work_dir=OUT, quarantine_file=OUT / "bad.csv"
    ) as source:
        found = read_stays(source, Settings())
        stays = found.take(np.flatnonzero(~np.isnan(found.died)))
        print(f"SYNTHETIC: {len(stays):,} septic stays, {int(stays.died.sum()):,} died", flush=True)
        made = [of_seed(stays, source.fingerprint, Settings(seed=seed)) for seed in range(seeds)]
    print(f"{'':14}{'focal':>8}{'BCE':>8}{'focal less BCE, 95 % interval over the seeds':>48}{'p':>8}")
    for measure in made[0][FULL]:
        focal, bce = (np.array([one[name][measure] for one in made]) for name in (FULL, BCE))
        apart = student(focal - bce)
        told = f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
        print(f"{measure:14}{focal.mean():8.3f}{bce.mean():8.3f}{told:>48}{t_p(focal, bce):8.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
