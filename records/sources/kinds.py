"""What a source of one kind is made of: the seam by which other packages bring sources of their own.

A kind turns what is asked for into a layout: files, and how the rows of some patients become a batch. All else is done
for it: rows are dealt out by patient on disk, bad ones quarantined, shards kept apart, memory bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cohorts.records.base import Unit
from cohorts.records.sources.partitioned import Layout

Option = Literal["notes", "columns", "labels", "mapping", "split"]


@dataclass(frozen=True, kw_only=True)
class SourceRequest:
    """What is asked for: where the records are, what one vector stands for, and the options that the kind takes.

    `address` is a database's, and then `path` is of no use. `copies` makes, at its first call, a private folder for
    files that the layout writes; it goes when the source is closed. An option that was not given is empty.
    """

    path: Path
    unit: Unit
    copies: Callable[[], Path]
    address: str = ""
    notes: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    mapping: Path | None = None
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """How a layout is made, and what is refused before: `open` raises SourceError and InputError for all else.

    `takes` are the options that mean something to it. Only a kind of `addresses` is given the address of a database.
    """

    open: Callable[[SourceRequest], Layout]
    takes: frozenset[Option] = frozenset()
    units: frozenset[Unit] = frozenset(Unit)
    addresses: bool = False
