"""Where the runs of a collection keep their manifest, encoder and mapping.

What becomes a part of a path is checked here: names come from users, fingerprints from files of others.
"""

import re
from pathlib import Path

from cohorts.connectors.addresses import is_server, parse_server, place_of, without_settings
from cohorts.connectors.base import Collection
from cohorts.connectors.checks import check_name
from cohorts.errors import EncoderError, InputError
from cohorts.private_files import private_data_folder, try_folder
from cohorts.records.shards import Shard

ENCODERS = "encoders"
_MAPPING = "attachment.json"


def default_run_dir(store: str, collection: str) -> Path:
    """Return the folder of a collection's runs: beside an embedded store, else below the working folder.

    Raises InputError for a name that is a path.
    """
    check_name(collection)
    if is_server(store):
        server = re.sub(r"[^\w.]+", "-", without_settings(store))
        return Path("cohorts.runs") / server / collection
    path = store.partition(":")[2]
    return Path(f"{(path or 'cohorts').rstrip('/')}.runs") / collection


def attachment_file(store: str, name: str) -> Path:
    """Return the file in which `cohorts attach` keeps the mapping of a collection of others.

    That of a server lies in the user's own folder for data, by host and port: the working folder and the spelling of
    the address don't matter. Raises InputError for a name that is a path.
    """
    if not is_server(store):
        return default_run_dir(store, name) / _MAPPING
    check_name(name)
    return private_data_folder() / "attached" / place_of(parse_server(store)) / name / _MAPPING


def kept_mapping(store: str, name: str) -> Path | None:
    """Return the file that holds the mapping of a collection of others; None where there is none.

    An earlier version kept that of a server below the working folder.
    """
    places = attachment_file(store, name), default_run_dir(store, name) / _MAPPING
    return next((file for file in places if file.exists()), None)


def encoder_dir(store: str, name: str, collection: Collection) -> Path:
    """Return the folder in which an ingest kept the encoder that it trained for collection `name`.

    Raises EncoderError where no encoder of ours made the collection's vectors.
    """
    return kept_encoder(default_run_dir(store, name), collection.metadata.get("encoder_fingerprint"))


def kept_encoder(folder: Path, fingerprint: object) -> Path:
    """Return the folder of the encoder of this fingerprint in a run folder. Raises EncoderError where it is none."""
    if not is_fingerprint(fingerprint):
        raise EncoderError(
            f"{str(fingerprint)[:80]!r} is no fingerprint of an encoder, which has 16 digits from 0 to f: no encoder "
            "of cohorts made these vectors.",
            remedy="Query by patient, or name the encoder's folder.",
            hint="patient_or_encoder",
        )
    return folder / ENCODERS / str(fingerprint)


def is_fingerprint(value: object) -> bool:
    """Tell whether a value is the fingerprint of an encoder; vectors that were loaded ready have a free text there."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value) is not None


def check_writable(folder: Path) -> None:
    """Raise InputError where a folder can't be made or written to: asked before the work that is to be kept there."""
    try:
        try_folder(folder)
    except OSError as error:
        raise InputError(
            f"Nothing can be written to {folder}: {error.strerror}. Name a folder that is yours to write to, or one "
            "that can be made."
        ) from error


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
