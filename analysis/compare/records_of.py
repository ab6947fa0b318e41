"""The records that a comparison is made from: those kept beside a collection, or those of a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cohorts.analysis.compare.comparison import Records
from cohorts.connectors.base import Collection
from cohorts.errors import InputError
from cohorts.private_files import Scratch
from cohorts.progress import ProgressCallback
from cohorts.records.base import Source, Unit
from cohorts.records.kept.reading import Kept, measured, open_kept, opened
from cohorts.records.kept.writing import EVENTS_FILE, OUTCOMES_FILE, KeptWriter
from cohorts.search.neighbours import records_seen


@contextmanager
def records_of(
    collection: Collection, run_dir: Path, told_in: Path, source: Source | None, progress: ProgressCallback
) -> Iterator[Records]:
    """Open the records of a collection's patients, or those of a source, which are removed at the end.

    `told_in` is where groups that were told of are noted. Raises InputError: a collection of others has no records.
    """
    if source is None and collection.attached:
        raise InputError(
            f"Collection {collection.name} belongs to others, and nothing of its patients' records stands beside it.",
            remedy="Name the source that has them.",
            hint="source_of_records",
        )
    own = Unit(str(collection.metadata.get("unit") or Unit.PATIENT))
    synthetic = bool(collection.metadata.get("synthetic"))
    records = partial(Records, collection=collection.name, as_of=records_seen(collection), folder=told_in)
    if source is None:
        yield records(kept=open_kept(run_dir), unit=own, synthetic=synthetic)
        return
    with Scratch(source.work_dir) as folder:
        kept = _read(source, folder, progress)
        yield records(kept=kept, unit=source.unit, synthetic=synthetic or source.synthetic)


def _read(source: Source, folder: Path, progress: ProgressCallback) -> Kept:
    """Return the events and outcomes of a source, written to a private folder."""
    writer = KeptWriter(folder)
    try:
        for batch in source.batches():
            writer.add(batch, batch.units["unit_id"].tolist())
            progress("reading", len(batch))
        writer.finish()
    finally:
        writer.close()
    files = {
        name: {name: measured(folder / name, writer.rows[name])} for name in (EVENTS_FILE, OUTCOMES_FILE)
    }
    return Kept(opened(folder, files[EVENTS_FILE]), opened(folder, files[OUTCOMES_FILE]))
