"""A store opened to be searched: with the mapping of a collection of others, and a collection's own encoder."""

from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.connectors import attachment
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.registry import connect
from cohorts.workspace import encoder_dir, kept_mapping

if TYPE_CHECKING:
    from cohorts.encoders.base import Encoder


def open_store(store: str, name: str) -> Connector:
    """Return the connector of a store, with the mapping of collection `name` where one was made."""
    connector = connect(store)
    take_mapping(connector, store, name)
    return connector


def take_mapping(connector: Connector, store: str, name: str) -> None:
    """Let a store read collection `name` by the mapping that `cohorts attach` kept, where it kept one."""
    file = kept_mapping(store, name)
    if file is not None:
        attachment.attachable(connector).attach(attachment.load(file))


def own_encoder(store: str, name: str, collection: Collection, folder: Path | None = None) -> "Encoder":
    """Return the encoder that made a collection's vectors: the one that its ingest kept, or the one in `folder`.

    Raises EncoderError where there is none, and FingerprintMismatch for another one.
    """
    from cohorts.encoders.fingerprint import check_fingerprint
    from cohorts.encoders.registry import load_encoder

    encoder = load_encoder(folder or encoder_dir(store, name, collection))
    check_fingerprint(collection.name, collection.metadata, encoder)
    return encoder
