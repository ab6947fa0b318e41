"""The optional parts of the distribution, and the command that installs one."""

from collections.abc import Mapping
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
    "report",
    "sql",
    "text",
    "train",
    "umap",
    "word2vec",
]
_MODULES: Mapping[Extra, tuple[str, ...]] = {
    "deidentify": ("regex",),
    "hdf5": ("h5py",),
    "milvus-embedded": ("milvus_lite",),
    "openvino": ("openvino",),
    "qdrant-embedded": ("qdrant_edge",),
    "ray": ("ray",),
    "reference": ("faiss", "annoy"),
    "report": ("jinja2",),
    "sql": ("sqlalchemy",),
    "text": ("torch", "transformers", "sentence_transformers"),
    "train": ("accelerate", "datasets", "torch", "transformers", "sentence_transformers"),
    "umap": ("umap",),
    "word2vec": ("gensim",),
}


def install_command(*extras: Extra) -> str:
    """Return the command that installs some extras."""
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"


def missing(what: str, *extras: Extra) -> MissingExtra:
    """Return the error that says what is not installed, and how to install it."""
    return MissingExtra(f"{what} is not installed: {install_command(*extras)}.")


def require(what: str, *extras: Extra) -> None:
    """Raise MissingExtra where a module of an extra that `what` needs is not there. Nothing is imported."""
    lacking = [one for one in extras if any(find_spec(module) is None for module in _MODULES[one])]
    if lacking:
        raise missing(what, *lacking)
