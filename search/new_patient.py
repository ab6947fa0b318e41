"""A patient whom no collection holds yet: read from a source, encoded as the collection's own were."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection
from cohorts.encoders.base import Encoder, Explains, Explanation
from cohorts.encoders.features.codes import with_names
from cohorts.encoders.needs import frames_read
from cohorts.encoders.views.windowed import Windowed
from cohorts.errors import InputError
from cohorts.records.base import FRAMES, Batch, Report, Source, Unit
from cohorts.records.transforms import take_units


@dataclass(frozen=True)
class NewPatient:
    """The patient by `id`, the mean `vector` (dim,) float32 of its units, why, and what of it was not used."""

    id: str
    vector: npt.NDArray[np.float32]
    explanations: tuple[Explanation, ...]
    notes: tuple[str, ...]


def unit_of(collection: Collection) -> Unit:
    """Return what the vectors of a collection stand for. Raises InputError for one of others."""
    unit = collection.metadata.get("unit")
    if unit not in tuple(Unit):
        raise InputError(
            f"{collection.name} was not ingested by cohorts: a new patient can't be encoded as its vectors were."
        )
    return Unit(unit)


def check_unit(name: str, collection: Collection, source: Source) -> None:
    """Raise InputError where a source is read by another unit than the vectors of a collection stand for."""
    if (unit := unit_of(collection)) is not source.unit:
        raise InputError(f"The vectors of {name} stand for each {unit}: open the source with that unit.")


def encode_patient(source: Source, encoder: Encoder, patient: str | None = None) -> NewPatient:
    """Return the only patient of a source, or the one of several that is named, as an encoder sees it.

    Raises InputError where there is none, or several and none is named, and where nothing of it could be used.
    """
    batch = _only(source, patient)
    before = Counter(encoder.counts)
    vectors, explanations = _encoded(encoder, batch)
    not_used = [*_outside(encoder, batch), *_unread(encoder, batch)]
    not_used += [f"{many:,} {what}" for what, many in (Counter(encoder.counts) - before).items()]
    if patient is None:  # in a source of several, they may be others' rows
        not_used += _left_out(source.report)
    if not vectors.any():
        told = "; ".join(not_used) or "they hold nothing that it reads"
        raise InputError(f"The encoder can use nothing of this patient's records: {told}.")
    there = vectors[vectors.any(axis=1)]
    return NewPatient(
        str(batch.units["patient_id"].iloc[0]),
        there.mean(axis=0),
        tuple(explanations),
        (*(f"not used: {one}" for one in not_used), *source.report.warnings),
    )


def _only(source: Source, patient: str | None) -> Batch:
    """Return the units of one patient. Raises InputError."""
    found: Batch | None = None
    for batch in source.batches():
        ids = batch.units["patient_id"]
        wanted = ids.unique().tolist() if patient is None else [patient]
        if (found is not None and patient is None) or len(wanted) > 1:
            raise InputError(
                "The source holds several patients.",
                remedy="Name the one to ask about.",
                hint="patient_of_source",
            )
        rows = np.flatnonzero(ids == wanted[0]).tolist() if wanted else []
        if rows:
            found = take_units(batch, rows)
            if patient is not None:
                break
    if found is None:
        what = "holds no patient" if patient is None else "does not hold the patient that was named"
        told = "".join(f" {one}." for one in (*_left_out(source.report), *source.report.warnings))
        raise InputError(f"The source {what}.{told}")
    return found


def _encoded(encoder: Encoder, batch: Batch) -> tuple[npt.NDArray[np.float32], Sequence[Explanation]]:
    if not isinstance(encoder, Explains):
        return encoder.encode(batch), ()
    vectors, told = encoder.explain(batch)
    return vectors, with_names(told, batch)


def _frames(batch: Batch) -> Mapping[str, int]:
    return {name: len(frame) for name, frame in batch.of_units().items() if name != "admissions"}


def _outside(encoder: Encoder, batch: Batch) -> Iterator[str]:
    """Yield what of each frame lies outside the encoder's window."""
    if isinstance(encoder, Windowed):
        inside = _frames(encoder.window.cut(batch)[0])
        for name, many in _frames(batch).items():
            if left := many - inside[name]:
                yield f"{left:,} of {many:,} {name} outside {encoder.window}"


def _unread(encoder: Encoder, batch: Batch) -> Iterator[str]:
    """Yield, once, the frames that the encoder does not look at."""
    strange = FRAMES - frames_read(encoder)
    found = [f"{many:,} {name}" for name, many in _frames(batch).items() if many and name in strange]
    if found:
        yield f"{', '.join(found)}, which encoder {encoder.name} does not read"


def _left_out(report: Report) -> list[str]:
    """Return what of the source could not be read."""
    gone = [f"{many:,} {what}" for what, many in report.left_out.items()]
    bad = [f"{many:,} bad rows of {table}" for table, many in report.quarantined.items() if many]
    return [*gone, *bad]
