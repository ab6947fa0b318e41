"""Who writes to a collection holds it: by a lock on this machine, by a lease in the collection, its journals open."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from cohorts.connectors.base import Connector
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.journal.lock import only_journal, only_run
from cohorts.loaders.lease import Lease
from cohorts.records.shards import Shard
from cohorts.workspace import check_writable, journal_file, journal_files


class Held(NamedTuple):
    """The journals of the collection's runs, the run's own first, and the lease, which is yet to be taken."""

    journals: list[Journal]
    lease: Lease


@contextmanager
def holding(
    connector: Connector, store: str, collection: str, folder: Path, shard: Shard | None = None
) -> Iterator[Held]:
    """Hold a collection for a run that has its journal in `folder`; a shard holds it beside others, with its own alone.

    Raises InputError where another run on this machine holds it, or the journal, or the folder can't be written to.
    """
    check_writable(folder)
    own = journal_file(folder, shard)
    others = [] if shard else [file for file in journal_files(folder) if file != own]
    with ExitStack() as stack:
        stack.enter_context(only_run(store, collection, shard))
        stack.enter_context(only_journal(own, collection))
        journals = [stack.enter_context(Journal(file)) for file in (own, *others)]
        yield Held(journals, stack.enter_context(Lease(connector, journals[0].id, shard)))
