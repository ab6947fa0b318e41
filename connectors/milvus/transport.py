"""Calls to a Milvus server: what is asked again, how a failure is told, and rows page by page."""

import logging
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from cohorts.connectors.addresses import Server
from cohorts.connectors.catalog import no_such_collection
from cohorts.connectors.milvus.translate import VECTOR, beyond
from cohorts.connectors.proxies import proxy_hint
from cohorts.connectors.retry import RetryPolicy
from cohorts.errors import EngineError, InputError
from pymilvus import MilvusClient, MilvusException

T = TypeVar("T")
Row = dict[str, Any]
GIVEN_TIMEOUT_S = 60.0
NOT_FOUND = 100
# Milvus' own numbers (pkg/util/merr): not ready, unavailable, rate limit, not (fully) loaded, no replica, no channel,
# node gone. Collections of ours are always loaded: one that isn't is being recovered.
_PASSING = (1, 2, 8, 101, 103, 400, 401, 500, 501, 503, 901, 902, 903)
# "Unexpected", its number for all else. A proxy that has followed an alias to the new collection may still know the old
# one's partitions for a moment: then it says that a segment belongs to a partition that is not among them. Or it knows
# no leader of the new one's channel yet: then it asks node -1, which is none.
_UNEXPECTED, _ALIAS_MOVED = 65535, ("belongs to partition", "can not find client of node -1")
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
CONNECT_FAILED = 2  # the client's own number


class Transport:
    """A server's address, or a ready client, which is then not closed."""

    title = "Milvus"
    # Sees what this client wrote; "Strong" waits .2-.4 s for every answer. Collections are made Strong all the same: a
    # scan in the order of keys takes the collection's own level.
    consistency = "Session"
    patience_s = 90.0  # after a crash the server needs 44 s until it has loaded everything again

    def __init__(self, server: Server | None, client: MilvusClient | None) -> None:
        if (server is None) == (client is None):
            raise InputError("Give either a server's address or a ready client.")
        self._server, self._given = server, client
        self._opened: MilvusClient | None = client
        self._opening = threading.Lock()
        self._patience = RetryPolicy(_may_pass, self.patience_s)
        self.timeout_s = float(server.timeout_s) if server else GIVEN_TIMEOUT_S

    def target(self, name: str) -> str:
        """Return the name to send: an alias as it is, for the server to follow wherever it points."""
        return name

    def call(self, ask: Callable[[MilvusClient], T], at_most_s: float = math.inf) -> T:
        """Ask the server, again where the error may pass. Raises EngineError."""
        try:
            return self._patience.call(lambda: ask(self._client()), at_most_s=at_most_s)
        except (MilvusException, grpc.RpcError) as error:
            hint = proxy_hint(self._server) if _is_unreached(error) else ""
            raise EngineError(f"{self.title} failed ({_reason(error)}){hint}") from error

    def _client(self) -> MilvusClient:
        with self._opening:
            if self._opened is None:
                # They log, traceback and all, what is raised anyway.
                for noisy in ("pymilvus", "milvus_lite"):
                    logging.getLogger(noisy).setLevel(logging.CRITICAL)
                self._opened = self._open()
            return self._opened

    def _open(self) -> MilvusClient:
        assert self._server is not None  # noqa: S101 - the constructor made sure
        (host, port), tls = self._server.hosts[0], self._server.tls
        more: dict[str, Any] = {"ca_pem_path": str(self._server.ca_file)} if self._server.ca_file else {}
        return MilvusClient(
            f"{'https' if tls else 'http'}://{host}:{port}",
            token=self._server.secret.reveal(),
            db_name=self._server.database,
            timeout=self.timeout_s,
            dedicated=True,
            **more,
        )

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(self.call(lambda client: client.list_collections()))

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return {
            alias: name
            for name in self.collections()
            for alias in self.call(lambda client, name=name: client.list_aliases(name))["aliases"]  # type: ignore[misc]
        }

    def about(self, name: str) -> dict[str, Any]:
        """Return the engine's description of a collection. Raises CollectionNotFound."""
        try:
            about: dict[str, Any] = self.call(lambda client: client.describe_collection(name))
        except EngineError as error:
            if getattr(error.__cause__, "code", None) == NOT_FOUND:
                raise no_such_collection(name, [*self.collections(), *self.aliases()]) from error
            raise
        return about

    def about_index(self, name: str, index: str = VECTOR) -> dict[str, Any]:
        """Return the engine's description of an index by its name; {} for none."""
        return self.call(lambda client: client.describe_index(self.target(name), index)) or {}

    def about_vector(self, name: str, vector: str) -> dict[str, Any]:
        """Return the engine's description of the index of a vector, whatever its owner called it; {} for none."""
        names = self.call(lambda client: client.list_indexes(self.target(name), field_name=vector))
        return self.about_index(name, names[0]) if names else {}

    def load_state(self, name: str) -> str:
        """Return whether a collection is loaded, as in `Loaded`."""
        state = self.call(lambda client: client.get_load_state(name))["state"]
        return str(getattr(state, "name", state))

    def load(self, name: str, timeout_s: float | None = None) -> None:
        """Load a collection: it can't be read otherwise."""
        self.call(lambda client: client.load_collection(name, timeout=timeout_s or self.timeout_s))

    def make_index(self, name: str, field: str, *, timeout_s: float | None = None, **settings: Any) -> None:
        """Make the index of a field, which may be there already."""

        def build(client: MilvusClient) -> None:
            if field in client.list_indexes(name):  # a call before, which came to no answer, has made it
                return
            wanted = client.prepare_index_params()
            wanted.add_index(field, **settings)
            # Nothing is there to wait for, but on an embedded engine, which answers when it has built the index.
            client.create_index(name, wanted, timeout=timeout_s or self.timeout_s, sync=False)

        self.call(build)

    def query(self, name: str, expression: str, outputs: list[str], **more: Any) -> list[Row]:
        """Return the rows that match."""
        settings = {"consistency_level": self.consistency, **more}
        return list(
            self.call(
                lambda client: client.query(
                    self.target(name),
                    filter=expression,
                    output_fields=outputs,
                    timeout=self.timeout_s,
                    **settings,
                )
            )
        )

    def count(self, name: str, expression: str, consistency: str = "Strong") -> int:
        """Return the exact number of rows that match."""
        (row,) = self.query(name, expression, ["count(*)"], consistency_level=consistency)
        return int(row["count(*)"])

    def pages(
        self, name: str, key: str, expression: str, outputs: list[str], size: int
    ) -> Iterator[list[Row]]:
        """Yield the rows that match, in the order of their keys; the client's own iterator quotes no key."""
        rest = f"not ({key} in [])"
        # The least keys, as its iterator asks for them.
        in_order = {"iterator": "True", "reduce_stop_for_best": "True"}
        while True:
            both = f"({expression}) and {rest}" if expression else rest
            rows = self.query(name, both, outputs, limit=size, **in_order)
            if not rows:
                return
            yield rows
            rest = beyond(key, max(row[key] for row in rows))

    def delete(self, name: str, expression: str) -> None:
        """Remove the rows that match."""
        self.call(lambda client: client.delete(self.target(name), filter=expression, timeout=self.timeout_s))

    def close(self) -> None:
        """Close the client, unless it was passed in."""
        if self._opened is not None and self._given is None:
            self._opened.close()
            self._opened = None


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, MilvusException):
        moved = error.code == _UNEXPECTED and any(words in error.message for words in _ALIAS_MOVED)
        return moved or error.code in _PASSING or isinstance(error.code, grpc.StatusCode)
    return isinstance(error, grpc.RpcError) and error.code() in _NO_ANSWER


def _is_unreached(error: BaseException) -> bool:
    """Tell whether it may be that nothing of the server's answered."""
    if isinstance(error, MilvusException):
        return error.code in (CONNECT_FAILED, *_NO_ANSWER)
    return isinstance(error, grpc.RpcError) and error.code() in _NO_ANSWER


def _reason(error: BaseException) -> str:
    """Return code and message without the filter: its values are patients'."""
    if isinstance(error, MilvusException):
        first_line = error.message.partition("\n")[0]
        return f"code {error.code}): {first_line.partition('expression: ')[0]}"
    return f"{error.code().name}): {error.details()}"  # type: ignore[attr-defined]
