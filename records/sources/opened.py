"""A source opened from Python: with a place of its own for bad rows, closed by whoever opened it, or at exit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cohorts.private_files import Scratch
from cohorts.records.base import Batch, Source, counted
from cohorts.records.shards import Shard
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.transforms import View


class OpenedSource(View):
    """A source; a context manager that removes its temporary files, which the end of the process does as well.

    `records` are read as `view` shows them. `scratch` holds the list of bad rows until `keep_quarantine` names a file.
    """

    def __init__(
        self,
        records: PartitionedSource,
        view: Source,
        *,
        shard: Shard | None,
        scratch: Scratch | None,
    ) -> None:
        super().__init__(view)
        self._records, self._scratch = records, scratch
        self.shard = shard

    @property
    def quarantine(self) -> Path:
        """Return the file that lists bad rows by table, place and reason; made at the first one."""
        return self._records.quarantine.file

    def keep_quarantine(self, file: Path) -> None:
        """List bad rows in `file`, those so far too, unless a file was named already. Raises InputError."""
        if self._scratch is not None:
            self._records.quarantine.go_on_in(file)

    def batches(self) -> Iterator[Batch]:
        """Yield every patient once, in a stable order. Raises SourceError."""
        return self._source.batches()

    def counted(self) -> Iterator[int]:
        """Yield how many units each part has; a view that rewrites notes makes its batches. Raises SourceError."""
        return counted(self._source)

    def close(self) -> None:
        """Remove the temporary files; safe to call twice."""
        self._records.close()
        if self._scratch is not None:
            self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.name}, one vector per {self.unit}>"
