"""What the manifests of loading and of measuring have in common: when, by which versions, from which source."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cohorts.records.base import Source


def made_with(packages: Sequence[str]) -> dict[str, Any]:
    """Return the time, Python's version, and those of some packages; None for one that is not installed."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def made_from(source: Source) -> dict[str, Any]:
    """Return what tells a source from others, and whether it is synthetic."""
    return {
        "source": {"name": source.name, "unit": str(source.unit), "fingerprint": source.fingerprint},
        "synthetic": source.synthetic,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
