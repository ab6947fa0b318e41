"""Clients of what is measured: each asks one query at a time, over its own connection where the engine takes several.

What is timed is `ask` alone, which is the connector's own search with all but the query bound to it; what came back is
read afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from cohorts.connectors.addresses import is_server
from cohorts.connectors.base import Connector, Found, Vectors
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import SearchParams
from cohorts.errors import InputError
from cohorts.search.store import open_store


class Answer(NamedTuple):
    """What one query found: ids and cosine similarities, best first, and what was done otherwise than asked."""

    ids: Sequence[str]
    scores: Sequence[float]
    notes: tuple[str, ...] = ()


def _nothing() -> None:
    """Close what needs no closing."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Somebody who asks. `ask` takes a (1, dim) float32 query and k; only `read` knows what it returns.

    `store` is the connector and the name of the collection, where it is one; into a library nothing is written.
    """

    ask: Callable[[Vectors, int], Any]
    read: Callable[[Any], Answer]
    close: Callable[[], None] = _nothing
    store: tuple[Connector, str] | None = None

    def writable(self) -> tuple[Connector, str]:
        """Return the store. Raises InputError where there is none."""
        if self.store is None:
            raise InputError("Nothing can be written into a library: writes need a store.")
        return self.store


@dataclass(frozen=True, kw_only=True)
class Opener:
    """How a client comes to its connection, told to another process; `apart`: several processes may open it at once.

    `open` returns a client that has asked nothing yet; it raises as `connect` does.
    """

    open: Callable[[], Client]
    apart: bool


def store_client(
    connector: Connector, name: str, params: SearchParams | None = None, where: Filter | None = None
) -> Client:
    """Return a client of a collection; closing it closes the connector."""
    ask = partial(connector.search, name, params=params, where=where, with_payload=False)
    return Client(ask=ask, read=_only_hits, close=connector.close, store=(connector, name))


def _only_hits(found: Found) -> Answer:
    (hits,) = found.hits
    return Answer([hit.id for hit in hits], [hit.score for hit in hits], found.notes)


def of_store(
    address: str, name: str, params: SearchParams | None = None, where: Filter | None = None
) -> Opener:
    """Open a store by its address, with the mapping of a collection of others where one was made.

    Each client has a connector of its own, which connects with its first query. An embedded engine lives in the process
    that opens it, and keeps others out: its clients are threads.
    """
    return Opener(open=partial(_open, address, name, params, where), apart=is_server(address))


def _open(address: str, name: str, params: SearchParams | None, where: Filter | None) -> Client:
    return store_client(open_store(address, name), name, params, where)


def lent(client: Client) -> Opener:
    """Lend a client that is open already, as of an index in this process; whoever opened it closes it."""
    return Opener(open=lambda: replace(client, close=_nothing), apart=False)


def _find_nothing(*_: object) -> Answer:
    return _EMPTY


_EMPTY = Answer((), ())
# What is left of a measurement that finds nothing is the harness's own cost.
NOBODY = Opener(open=partial(Client, ask=_find_nothing, read=Answer._make), apart=True)
