"""Where the runs of a collection keep their manifest, encoder and mapping."""

import re
from pathlib import Path

from cohorts.connectors.base import Collection
from cohorts.records.shards import Shard

ENCODERS = "encoders"


def default_run_dir(store: str, collection: str) -> Path:
    """Return the folder of a collection's runs: beside an embedded store, else below the working folder."""
    engine, _, path = store.partition(":")
    if "+" in engine:
        server = re.sub(r"[^\w.]+", "-", store.partition("?")[0])
        return Path("cohorts.runs") / server / collection
    return Path(f"{(path or 'cohorts').rstrip('/')}.runs") / collection


def encoder_dir(store: str, name: str, collection: Collection) -> Path:
    """Return the folder in which an ingest kept the encoder that it trained for collection `name`."""
    fingerprint = str(collection.metadata.get("encoder_fingerprint"))
    return default_run_dir(store, name) / ENCODERS / fingerprint


def file_of_shard(name: str, shard: Shard | None) -> str:
    """Return the name of a shard's own file: journal.sqlite is journal-2-of-4.sqlite there."""
    if shard is None:
        return name
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{shard.number}-of-{shard.many}{dot}{suffix}"
