"""Calls to a Qdrant server or cluster: which node is asked, what is asked again, and how a failure is told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cohorts.connectors.addresses import Server
from cohorts.connectors.proxies import proxy_hint
from cohorts.connectors.qdrant.connection import ERRORS, is_transient, is_unreached, open_client, reason
from cohorts.connectors.retry import RetryPolicy
from cohorts.errors import EngineError, InputError
from qdrant_client import QdrantClient, models

T = TypeVar("T")
Selector = bool | list[str]
PATIENCE_S = 30.0
GIVEN_TIMEOUT_S = 60  # of a search or a write through a client that was passed in


class Transport:
    """The nodes of an address, or a ready client, which is then not closed. Where a node fails, the next is asked."""

    def __init__(self, server: Server | None, client: QdrantClient | None) -> None:
        if (server is None) == (client is None):
            raise InputError("Give either a server's address or a ready client.")
        self._server, self._given = server, client
        self._clients: dict[tuple[str, int], QdrantClient] = {}
        self._opening = threading.Lock()
        self._at = 0
        self._patience = RetryPolicy(is_transient, PATIENCE_S)
        self.timeout_s = server.timeout_s if server else GIVEN_TIMEOUT_S
        self.shards = server.shards if server else None
        self.replicas = server.replicas if server else None

    def call(self, ask: Callable[[QdrantClient], T]) -> T:
        """Ask the current node, and the next ones where it fails. Raises EngineError."""
        at = self._at

        def once() -> T:
            nonlocal at
            at = self._at
            return ask(self._client(at))

        def failed() -> None:
            if self._at == at:  # else another thread, which failed too, has moved on already
                self._at = at + 1

        try:
            return self._patience.call(once, failed)
        except ERRORS as error:
            hint = proxy_hint(self._server) if is_unreached(error) else ""
            raise EngineError(f"Qdrant failed: {reason(error)}{hint}") from error

    def _client(self, at: int) -> QdrantClient:
        if self._given is not None:
            return self._given
        assert self._server is not None  # noqa: S101 - the constructor made sure
        host = self._server.hosts[at % len(self._server.hosts)]
        with self._opening:
            if host not in self._clients:
                self._clients[host] = open_client(self._server, host)
            return self._clients[host]

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        answer = self.call(lambda client: client.get_collections())
        return sorted(one.name for one in answer.collections)

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        answer = self.call(lambda client: client.get_aliases())
        return {one.alias_name: one.collection_name for one in answer.aliases}

    def info(self, name: str) -> Any:
        """Return what the server says of a collection."""
        return self.call(lambda client: client.get_collection(name))

    def count(self, name: str, condition: models.Filter | None = None) -> int:
        """Return the exact number of points."""
        return int(self.call(lambda client: client.count(name, count_filter=condition, exact=True)).count)

    def retrieve(
        self, name: str, ids: Sequence[Any], payload: Selector, vectors: Selector = False
    ) -> list[Any]:
        """Return the records that exist among `ids`."""
        return self.call(lambda client: client.retrieve(name, ids, payload, vectors))

    def page(
        self,
        name: str,
        size: int,
        payload: Selector,
        vectors: Selector = False,
        condition: models.Filter | None = None,
        offset: Any = None,
    ) -> tuple[list[Any], Any]:
        """Return records, and where the next page begins: None behind the last one."""
        return self.call(
            lambda client: client.scroll(
                name,
                scroll_filter=condition,
                limit=size,
                offset=offset,
                with_payload=payload,
                with_vectors=vectors,
            )
        )

    def pages(
        self,
        name: str,
        size: int,
        payload: Selector,
        vectors: Selector = False,
        condition: models.Filter | None = None,
    ) -> Iterator[list[Any]]:
        """Yield all records that match, in pages."""
        offset = None
        while True:
            records, offset = self.page(name, size, payload, vectors, condition, offset)
            if records:
                yield records
            if offset is None:
                return

    def close(self) -> None:
        """Close the clients that were made here."""
        while self._clients:
            _, client = self._clients.popitem()
            client.close()
