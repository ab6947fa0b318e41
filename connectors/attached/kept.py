"""The file in which the mapping of a collection of others is kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cohorts.connectors.attached.attachment import COSINE, Attachment
from cohorts.connectors.attached.vectors import METRICS
from cohorts.connectors.catalog import Definition, to_json
from cohorts.connectors.checks import MAX_DIM, check_name
from cohorts.documents import read_json
from cohorts.errors import InputError
from cohorts.private_files import private_folder, write_private


def save(attachment: Attachment, file: Path) -> None:
    """Keep a mapping as JSON, written whole."""
    value = {
        **vars(attachment),
        "collection": to_json(attachment.collection) | {"name": attachment.collection.name},
    }
    private_folder(file.parent)
    write_private(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def load(file: Path) -> Attachment:
    """Return the mapping that `save` wrote. Raises InputError."""
    kept = read_json(file, _Kept, remedy="Attach the collection again.")
    return Attachment(**{**vars(kept), "collection": kept.collection.named(kept.collection.name)})


@dataclass(frozen=True)
class _Named(Definition):
    """A definition beside its name. Raises InputError where the name can't be one."""

    name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)


@dataclass(frozen=True)
class _Kept:
    """An attachment as `save` writes it. Raises InputError for one that no `attach` made."""

    collection: _Named
    vector: str
    paths: Mapping[str, str]
    present: Mapping[str, str]
    key: str
    integer_keys: bool
    our_vector: str
    our_dim: int
    writable: bool
    metric: str = COSINE
    units_seen: int = 0
    dynamic: bool = False

    def __post_init__(self) -> None:
        if not self.collection.fields.keys() <= self.paths.keys():
            raise InputError("A field has no path.")
        if any(text not in ("", f"{column} is not null") for column, text in self.present.items()):
            raise InputError("What tells whether a field is there is no test for null.")
        if self.metric not in METRICS:
            raise InputError(f"The metric is {self.metric!r}.")
        if not 1 <= self.collection.dim <= MAX_DIM:
            raise InputError(f"The dimension is {self.collection.dim}.")
