"""One run at a time on a collection: a lock of this machine, which ends with its process, however that ends."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from cohorts.connectors.addresses import is_server, without_settings
from cohorts.errors import InputError
from cohorts.private_files import lock_folder, open_private
from cohorts.records.shards import Shard


@contextmanager
def only_run(store: str, collection: str, shard: Shard | None = None) -> Iterator[None]:
    """Hold the collection while it is written to; shards hold it together, each its own. Raises InputError."""
    place = without_settings(store)
    if ":" in place and not is_server(place):
        engine, _, path = place.partition(":")
        # What is in memory is this process' own, whoever else has a collection of that name.
        place = f"{engine}:{os.getpid() if engine == 'memory' else Path(path).resolve()}"
    with ExitStack() as held:
        held.enter_context(_take(f"{place}\n{collection}", collection, shared=shard is not None))
        if shard:
            held.enter_context(_take(f"{place}\n{collection}\n{shard}", f"{collection}, shard {shard}"))
        yield


@contextmanager
def only_journal(file: Path, collection: str) -> Iterator[None]:
    """Hold a run's journal, whatever the address by which it reaches its store. Raises InputError."""
    with _take(f"journal\n{file.resolve()}", collection):
        yield


def _take(key: str, what: str, *, shared: bool = False) -> TextIO:
    try:
        file = open_private(lock_folder() / hashlib.sha256(key.encode()).hexdigest()[:32], "a")
    except OSError as error:
        raise InputError(
            f"The lock of a run can't be made: {error}. Remove that, or name by TMPDIR a folder that is yours alone."
        ) from error
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(
            f"Another run is writing to collection {what}. Wait until it has ended, or stop it; what it wrote is not "
            "lost."
        ) from error
    return file
