"""What the manifests of loading, training and measuring have in common: when, by which versions, from which source."""

import json
import platform
import resource
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cohorts.extras import DISTRIBUTION
from cohorts.private_files import write_private
from cohorts.records.base import Source


def made_with(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the time, the versions of Python and `cohorts`, and some packages'; None for one that is not installed."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (DISTRIBUTION, *packages)},
    }


def made_from(source: Source) -> dict[str, Any]:
    """Return what tells a source from others, whether it is synthetic, and the categories of notes read so far."""
    admissions = source.report.counts.get("admissions", 0)
    return {
        "source": {"name": source.name, "unit": str(source.unit), "fingerprint": source.fingerprint},
        "synthetic": source.synthetic,
        "note_categories": [one._asdict() for one in source.report.categories.told(admissions)],
    }


def peak_rss_mib() -> int:
    """Return the largest size of the process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def write_manifest(file: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest as JSON, whole or not at all."""
    write_private(file, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
