"""A training of a text model on a source, and the manifest beside its result."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cohorts.encoders import declutr, mlm, note_category, simcse
from cohorts.encoders.checkpoints import content_hash, find_checkpoint
from cohorts.encoders.pretraining import Objective, Settings, pretrain
from cohorts.encoders.settings import read_settings
from cohorts.errors import EncoderError
from cohorts.loaders.manifest import made_from, made_with, peak_rss_mib, write_manifest
from cohorts.loaders.versions import Tick
from cohorts.records.base import Source

_VERSIONS = ("cohorts", "torch", "transformers", "sentence-transformers", "accelerate", "datasets")
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


def pretrain_and_tell(
    spec: str, base: str, source: Source, out: Path, tick: Tick, *, resume: bool, download: bool
) -> dict[str, Any]:
    """Train a checkpoint, write `manifest.json` beside it, and return what that tells. Raises CohortsError."""
    import torch

    began, objective = time.perf_counter(), make_objective(spec)
    manifest: dict[str, Any] = {**made_with(_VERSIONS), **made_from(source)}
    folder = find_checkpoint(base, download=download)
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
