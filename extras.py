"""The optional parts of the distribution, and the command that installs one."""

from importlib.util import find_spec
from typing import Literal

from cohorts.errors import MissingExtra

DISTRIBUTION = "ehr-cohorts"  # the name `cohorts` on the package index is another project's

Extra = Literal[
    "deidentify",
    "hdf5",
    "milvus-embedded",
    "openvino",
    "qdrant-embedded",
    "ray",
    "reference",
    "train",
    "umap",
]


def install_command(extra: Extra) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing(what: str, extra: Extra) -> MissingExtra:
    """Return the error that says what is not installed, and how to install it."""
    return MissingExtra(f"{what} is not installed: {install_command(extra)}.")


def require(what: str, extra: Extra, *modules: str) -> None:
    """Raise MissingExtra where a top-level module that `what` needs is not there. Nothing is imported."""
    if any(find_spec(module) is None for module in modules):
        raise missing(what, extra)
