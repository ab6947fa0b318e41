"""What this installation has, what it lacks, and the command that installs it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cohorts.commands.output.plain_table import PlainTable, show
from cohorts.extras import DISTRIBUTION, Extra, install_command

_PACKAGES = ("numpy", "pandas")
_CLIENTS = ("qdrant-client", "pymilvus")
_EXTRAS: dict[str, tuple[str, Extra]] = {  # package: what it is for, and the extra that brings it
    "qdrant-edge-py": ("embedded Qdrant (qdrant:PATH)", "qdrant-embedded"),
    "milvus-lite": ("embedded Milvus (milvus:PATH.db)", "milvus-embedded"),
    "torch": ("encoders bert and fused, training", "text"),
    "transformers": ("encoder bert", "text"),
    "sentence-transformers": ("encoder bert, training", "text"),
    "gensim": ("encoder word2vec", "word2vec"),
    "Jinja2": ("reports of evaluate and bench", "report"),
    "faiss-cpu": ("reference for ivf (matched recall)", "reference"),
    "h5py": ("vectors from HDF5 files", "hdf5"),
    "ray": ("encoding on Ray", "ray"),
    "regex": ("--deidentify", "deidentify"),
    "annoy": ("reference for annoy (matched recall)", "reference"),
}
_ABILITIES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True)
class Finding:
    """One thing looked for: what, what was found, and what to do where it is missing."""

    what: str
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at versions, engines, the processor and cached models; nothing heavy is imported."""
    findings = [Finding("Python", platform.python_version())]
    findings += [
        _package(name, name, f"pip install {name}") for name in (DISTRIBUTION, *_PACKAGES, *_CLIENTS)
    ]
    findings += [_package(name, what, install_command(extra)) for name, (what, extra) in _EXTRAS.items()]
    return [*findings, Finding("processor", _processor()), _models()]


def _package(name: str, what: str, remedy: str) -> Finding:
    try:
        return Finding(what, f"{name} {version(name)}" if what != name else version(name))
    except PackageNotFoundError:
        return Finding(what, "missing", remedy)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    words = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    able = [ability for ability in _ABILITIES if ability in words]
    return f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(able) or 'abilities unknown'}"


def _models() -> Finding:
    """List the models in the Hugging Face cache, where the text encoders will look for them."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    found = sorted(path.name.removeprefix("models--").replace("--", "/") for path in cache.glob("models--*"))
    return Finding("cached models", ", ".join(found) or f"none in {cache}")


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what `doctor` found to stdout."""
    table = PlainTable()
    for heading in ("what", "found", "to do"):
        table.add_column(heading)
    for finding in findings:
        table.add_row(finding.what, finding.found, finding.remedy)
    show(table)
