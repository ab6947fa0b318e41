"""The encoder that made a collection."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cohorts.connectors.base import Description
    from cohorts.encoders.base import Encoder


def encoder_of(description: "Description", store: str, name: str, folder: Path | None) -> "Encoder":
    """Load the collection's own encoder, or the one in `folder`, which is refused where it is another."""
    from cohorts.encoders.registry import load_encoder
    from cohorts.loaders.points.records import check_fingerprint
    from cohorts.workspace import encoder_dir

    encoder = load_encoder(folder or encoder_dir(store, name, description.collection))
    check_fingerprint(description.collection, encoder)
    return encoder
