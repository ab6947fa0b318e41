"""Whether a collection's vectors are an encoder's: those of two encoders can't be compared."""

from collections.abc import Mapping

from cohorts.encoders.base import Encoder
from cohorts.encoders.views.windowed import as_of
from cohorts.errors import FingerprintMismatch
from cohorts.records.window import WHOLE_STAY

_APART = "Vectors of two encoders can't be compared."
_ANOTHER = "Use the collection's own encoder, ingest into another collection, or replace this one whole."


def check_kind(name: str, dim: int, metadata: Mapping[str, object], encoder: Encoder) -> None:
    """Raise FingerprintMismatch where an encoder that is yet to be trained can't become the collection's own."""
    made_by = str(metadata.get("encoder"))
    if (made_by, dim) != (encoder.name, encoder.dim):
        raise FingerprintMismatch(
            f"Collection {name} was made by encoder {made_by} of {dim} dimensions; the one asked "
            f"for is {encoder.name} of {encoder.dim}. {_APART}",
            remedy=_ANOTHER,
            hint="own_encoder",
        )
    check_window(name, str(metadata.get("as_of", WHOLE_STAY)), encoder)


def check_window(name: str, there: str, encoder: Encoder) -> None:
    """Raise FingerprintMismatch where a collection's vectors are of another window of the records than an encoder's."""
    if there != (asked := as_of(encoder)):
        raise FingerprintMismatch(
            f"Collection {name} holds vectors of {there}; asked for are those of {asked}. {_APART}",
            remedy=_ANOTHER,
            hint="own_encoder",
        )


def check_fingerprint(name: str, metadata: Mapping[str, object], encoder: Encoder) -> None:
    """Raise FingerprintMismatch where the collection was not made by this encoder."""
    made_by = metadata.get("encoder_fingerprint")
    if made_by != encoder.fingerprint:
        raise FingerprintMismatch(
            f"Collection {name} was made by encoder {metadata.get('encoder')} with fingerprint {made_by}; "
            f"the one at hand is {encoder.name} with fingerprint {encoder.fingerprint}. {_APART}",
            remedy=_ANOTHER,
            hint="own_encoder",
        )
