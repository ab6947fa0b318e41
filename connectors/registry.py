"""Store addresses, and the engine behind each scheme."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from cohorts.connectors.addresses import parse_server, without_settings
from cohorts.connectors.base import Connector
from cohorts.errors import StoreAddressError
from cohorts.extras import require
from cohorts.plugins import plugin

ADDRESSES = (
    "qdrant:PATH, milvus:PATH.db (embedded engines), qdrant+http://HOST:PORT, qdrant+grpc://HOST:PORT,HOST:PORT, "
    "milvus+http://HOST:PORT (servers; https and grpcs for TLS), memory: (exact, lost at exit)"
)
ENTRY_POINTS = "cohorts.connectors"
_Opener = Callable[[str], Connector]


def connect(address: str) -> Connector:
    """Return the connector of a store address; nothing is opened yet. Raises StoreAddressError, MissingExtra.

    Further engines register an entry point in the group `cohorts.connectors`, named by their scheme: a function of
    the address's rest.
    """
    scheme, colon, rest = address.partition(":")
    opener = _OPENERS.get(scheme) or cast(
        _Opener | None, plugin(ENTRY_POINTS, scheme, object, StoreAddressError)
    )
    if opener is not None and colon:
        return opener(rest)
    if "+" in scheme and rest.startswith("//"):
        return _server(address)
    # What stands before an @, or behind a ?, may be a password.
    shown = f"{scheme}:…" if "@" in address else without_settings(address)
    raise StoreAddressError(f"{shown!r} is no store address. Addresses: {ADDRESSES}.")


def _server(address: str) -> Connector:
    server = parse_server(address)
    if server.engine == "qdrant":
        from cohorts.connectors.qdrant.server import QdrantConnector

        return QdrantConnector(server)
    from cohorts.connectors.milvus.server import MilvusConnector

    return MilvusConnector(server)


def _memory(rest: str) -> Connector:
    from cohorts.connectors.memory import MemoryConnector

    if rest:
        raise StoreAddressError(f"memory:{rest}: the address is memory: alone; it keeps nothing.")
    return MemoryConnector()


def _qdrant(rest: str) -> Connector:
    path = _path("qdrant", rest)
    require("This engine", "qdrant-embedded")
    from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector

    return QdrantEdgeConnector(path)


def _milvus(rest: str) -> Connector:
    path = _path("milvus", rest)
    if path.suffix != ".db":
        raise StoreAddressError(f"milvus:{rest}: the file of embedded Milvus must end in .db.")
    require("This engine", "milvus-embedded")
    from cohorts.connectors.milvus.embedded import MilvusLiteConnector

    return MilvusLiteConnector(path)


def _path(scheme: str, rest: str) -> Path:
    if rest.startswith("//") or "://" in rest:
        server = (
            "qdrant+http:// or, where it speaks gRPC, qdrant+grpc://"
            if scheme == "qdrant"
            else f"{scheme}+http://"
        )
        raise StoreAddressError(
            f"{scheme}: takes a path on this machine. A server's address begins with {server}."
        )
    if not rest:
        raise StoreAddressError(f"{scheme}: names no path on this machine. Addresses: {ADDRESSES}.")
    return Path(rest).expanduser()


_OPENERS: dict[str, _Opener] = {"memory": _memory, "qdrant": _qdrant, "milvus": _milvus}
