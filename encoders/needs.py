"""What an encoder needs of a source, checked before any work."""

from cohorts.encoders.base import Encoder
from cohorts.errors import EncoderError
from cohorts.records.base import FRAMES, Source


def check_notes(source: Source, reader: str) -> None:
    """Raise EncoderError where the source holds no notes; `reader` is what can't do without."""
    if source.has_notes:
        return
    where = where_notes_are(source)
    raise EncoderError(
        f"The source holds no notes, and {reader} needs them: use codes, which reads codes alone.",
        remedy=where.strip(),
        hint="notes_of_mimic4" if where else "",
    )


def where_notes_are(source: Source) -> str:
    """Return where the notes are of a source that ships without them, as a sentence behind another, "" if unknown."""
    return " MIMIC-IV's are a data set of their own, to be given as notes." if source.name == "mimic4" else ""


def frames_read(encoder: Encoder) -> frozenset[str]:
    """Return the frames of a batch that an encoder looks at, beside units and codes; all for one that does not say."""
    told: frozenset[str] = getattr(encoder, "reads", FRAMES)
    return told


def check_codes(source: Source, reader: str) -> None:
    """Raise EncoderError where the source holds no codes; `reader` is what can't do without."""
    if not source.has_codes:
        raise EncoderError(
            f"The source holds no codes, and {reader} needs them: use lsa, which reads notes alone."
        )
