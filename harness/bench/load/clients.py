"""Clients of what is measured: each asks one query at a time, over its own connection where the engine takes several.

What is timed is `ask` alone, which is the connector's own search with all but the query bound to it; what came back is
read afterwards.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from cohorts.connectors.addresses import is_server
from cohorts.connectors.base import Connector, Found, Vectors
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import SearchParams
from cohorts.search.store import open_store


class Answer(NamedTuple):
    """What one query found: ids and cosine similarities, best first, and what was done otherwise than asked."""

    ids: Sequence[str]
    scores: Sequence[float]
    notes: tuple[str, ...] = ()


class Client(Protocol):
    """Somebody who asks. `ask` takes a (1, dim) float32 query and k; only `read` knows what it returns."""

    ask: Callable[[Vectors, int], Any]

    def read(self, answer: Any) -> Answer:
        """Return what `ask` returned as ids and scores."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Opener(Protocol):
    """How a client comes to its connection, told to another process; `apart`: several processes may open it at once."""

    @property
    def apart(self) -> bool:
        """Tell whether every client can be a process of its own."""
        ...

    def open(self) -> Client:
        """Return a client that has asked nothing yet. Raises as `connect` does."""
        ...


class ConnectorClient:
    """A client of a collection; closing it closes the connector."""

    def __init__(
        self, connector: Connector, name: str, params: SearchParams | None = None, where: Filter | None = None
    ) -> None:
        self.connector, self.name = connector, name
        self.ask: Callable[[Vectors, int], Any] = partial(
            connector.search, name, params=params, where=where, with_payload=False
        )

    def read(self, answer: Found) -> Answer:
        """Return the only query's hits."""
        (hits,) = answer.hits
        return Answer([hit.id for hit in hits], [hit.score for hit in hits], answer.notes)

    def close(self) -> None:
        """Close the connector."""
        self.connector.close()


@dataclass(frozen=True)
class StoreOpener:
    """Opens a store by its address, with the mapping of a collection of others where one was made.

    An embedded engine lives in the process that opens it, and keeps others out: its clients are threads.
    """

    address: str
    name: str
    params: SearchParams | None = None
    where: Filter | None = None

    @property
    def apart(self) -> bool:
        """Tell whether it is a server."""
        return is_server(self.address)

    def open(self) -> ConnectorClient:
        """Return a client with a connector of its own, which connects with its first query."""
        return ConnectorClient(open_store(self.address, self.name), self.name, self.params, self.where)


@dataclass(frozen=True)
class Held:
    """Lends a client that is open already, as of an index in this process; whoever opened it closes it."""

    client: Client

    @property
    def apart(self) -> bool:
        """No other process can have it."""
        return False

    def open(self) -> Client:
        """Return a client of the same connection, which closing leaves open."""
        return _Lent(self.client)


class _Lent:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.ask, self.read = client.ask, client.read

    def close(self) -> None:
        """Leave it open: it is lent."""


@dataclass(frozen=True)
class NullOpener:
    """Opens clients that find nothing, after `delay_s`: what is left of a measurement is the harness's own cost."""

    delay_s: float = 0.0
    apart: bool = True

    def open(self) -> "NullClient":
        """Return such a client."""
        return NullClient(self.delay_s)


class NullClient:
    """Answers every query with nothing."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.ask: Callable[[Vectors, int], Any] = partial(_wait, delay_s) if delay_s else _nothing

    def read(self, answer: Answer) -> Answer:
        """Return the empty answer."""
        return answer

    def close(self) -> None:
        """Do nothing."""


_EMPTY = Answer((), ())


def _nothing(_query: Vectors, _k: int) -> Answer:
    return _EMPTY


def _wait(delay_s: float, _query: Vectors, _k: int) -> Answer:
    time.sleep(delay_s)
    return _EMPTY
