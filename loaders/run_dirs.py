"""Where the runs of a collection keep their manifest, encoder and mapping."""

import re
from pathlib import Path

from cohorts.connectors.addresses import is_server, without_settings
from cohorts.connectors.base import Collection
from cohorts.records.shards import Shard

ENCODERS = "encoders"


def default_run_dir(store: str, collection: str) -> Path:
    """Return the folder of a collection's runs: beside an embedded store, else below the working folder."""
    if is_server(store):
        server = re.sub(r"[^\w.]+", "-", without_settings(store))
        return Path("cohorts.runs") / server / collection
    path = store.partition(":")[2]
    return Path(f"{(path or 'cohorts').rstrip('/')}.runs") / collection


def encoder_dir(store: str, name: str, collection: Collection) -> Path:
    """Return the folder in which an ingest kept the encoder that it trained for collection `name`."""
    fingerprint = str(collection.metadata.get("encoder_fingerprint"))
    return default_run_dir(store, name) / ENCODERS / fingerprint


def journal_file(folder: Path, shard: Shard | None) -> Path:
    """Return the file in which the runs of a folder, or of one shard there, note what they wrote."""
    return folder / file_of_shard("journal.sqlite", shard)


def journal_files(folder: Path) -> list[Path]:
    """Return the journals that there are in a folder, those of every shard."""
    return sorted(folder.glob("journal*.sqlite"))


def rejected_files(folder: Path) -> list[Path]:
    """Return the files of what could not be written, those of every shard."""
    return sorted(folder.glob("rejected*.csv"))


def file_of_shard(name: str, shard: Shard | None) -> str:
    """Return the name of a shard's own file: journal.sqlite is journal-2-of-4.sqlite there."""
    if shard is None:
        return name
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{shard.number}-of-{shard.many}{dot}{suffix}"
