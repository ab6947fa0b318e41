"""A store opened to be searched: with the mapping of a collection of others, and a collection's own encoder."""

from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.search.neighbours import records_seen
from cohorts.workspace import kept_mapping

if TYPE_CHECKING:
    from cohorts.encoders.base import Encoder
    from cohorts.records.window import Window


def open_store(store: str, name: str) -> Connector:
    """Return the connector of a store, with the mapping of collection `name` where one was made."""
    connector = connect(store)
    take_mapping(connector, store, name)
    return connector


def take_mapping(connector: Connector, store: str, name: str) -> None:
    """Let a store read collection `name` by the mapping that `cohorts attach` kept, where it kept one."""
    file = kept_mapping(store, name)
    if file is not None:
        from cohorts.connectors.attached.kept import load

        connector.attach(load(file))


def own_encoder(collection: Collection, folder: Path) -> "Encoder":
    """Return the encoder in a folder, which made a collection's vectors: vectors of two can't be compared.

    Raises EncoderError where there is none, and FingerprintMismatch for another one.
    """
    from cohorts.encoders.registry import load_encoder

    encoder = load_encoder(folder)
    check_is_own(collection, encoder)
    return encoder


def check_records_seen(name: str, collection: Collection, window: "Window") -> None:
    """Raise InputError where a collection's vectors are not of a window of the records."""
    seen = records_seen(collection) or "others"
    if seen != str(window):
        raise InputError(
            f"Collection {name} holds vectors of {seen}, not of {window}.",
            remedy="Ingest the source into another collection, with an encoder of that window.",
            hint="ingest_as_of",
            window=window,
        )


def check_is_own(collection: Collection, encoder: "Encoder") -> None:
    """Raise FingerprintMismatch where an encoder is not the one that made a collection's vectors."""
    from cohorts.encoders.fingerprint import check_fingerprint

    check_fingerprint(collection.name, collection.metadata, encoder)
