"""A training of a text model on a source, and the manifest beside its result."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cohorts.encoders.bert.checkpoints import content_hash, find_checkpoint
from cohorts.encoders.pretrain import declutr, mlm, note_category, simcse
from cohorts.encoders.pretrain.trainer import Objective, Settings, check_installed, check_out, pretrain
from cohorts.encoders.settings import read_settings
from cohorts.errors import EncoderError
from cohorts.progress import ProgressCallback
from cohorts.provenance import made_from, made_with, peak_rss_mib, write_manifest
from cohorts.records.base import Source

_VERSIONS = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
_MAKERS: Mapping[str, tuple[type[Any], Callable[[Any], Objective]]] = {
    "mlm": (mlm.Settings, mlm.Mlm),
    "simcse": (simcse.Settings, simcse.Simcse),
    "declutr": (declutr.Settings, declutr.Declutr),
    "note-category": (note_category.Settings, note_category.NoteCategory),
}


def make_objective(spec: str) -> Objective:
    """Make an objective from its name and settings, as in `simcse:sentence,temperature=0.05`. Raises EncoderError."""
    name, _, rest = spec.partition(":")
    if name not in _MAKERS:
        raise EncoderError(f"There is no objective {name!r}. Objectives: {', '.join(_MAKERS)}.")
    settings, make = _MAKERS[name]
    return make(read_settings(settings, rest))


class Training(NamedTuple):
    """What to train a text model for, and from which checkpoint: as that was asked for, and its folder."""

    objective: Objective
    base: str
    folder: Path


def ready_training(spec: str, base: str, out: Path, *, resume: bool, download: bool) -> Training:
    """Return the training asked for, after a look at all that can be refused before a source is read.

    Raises InputError, EncoderError, CheckpointNotFound, MissingExtra.
    """
    objective = make_objective(spec)
    check_installed()
    check_out(out, resume=resume)
    return Training(objective, base, find_checkpoint(base, download=download))


def pretrain_and_tell(
    training: Training, source: Source, out: Path, tick: ProgressCallback, *, resume: bool
) -> dict[str, Any]:
    """Train a checkpoint, write `manifest.json` beside it, and return what that tells. Raises CohortsError."""
    import torch

    began, (objective, base, folder) = time.perf_counter(), training
    manifest: dict[str, Any] = {**made_with(_VERSIONS), **made_from(source)}
    trace = pretrain(objective, folder, source, out, tick, resume=resume)
    gpu = torch.cuda.is_available()
    manifest |= {
        "objective": objective.name,
        "settings": asdict(objective.settings),
        "base": {"asked": base, "checkpoint": content_hash(folder)},
        "checkpoint": content_hash(out),
        "encoder": _read_by(objective.settings, out),
        "texts": trace.texts,
        "notes_left_out": trace.notes_left_out,
        "losses": trace.losses,
        "resumed": resume,
        "texts_per_s": trace.texts_per_s,
        "total_s": round(time.perf_counter() - began, 2),  # since it was resumed
        "peak_rss_mib": peak_rss_mib(),
        "peak_gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20) if gpu else None,
    }
    write_manifest(out / "manifest.json", manifest)
    return manifest


def _read_by(settings: Settings, out: Path) -> str:
    """Return the encoder that reads the result as it was trained, as `--encoder` takes it."""
    level = "" if settings.level == "note" else f",level={settings.level}"
    return f"bert:{out}{level}"
