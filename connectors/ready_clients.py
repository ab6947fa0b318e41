"""A client of an engine that the user has already, as a connector; it is left open."""

from typing import Any
from urllib.parse import urlsplit

from cohorts.connectors.addresses import PORTS
from cohorts.connectors.base import Connector
from cohorts.errors import InputError

_KINDS = {"QdrantClient": "qdrant_client", "MilvusClient": "pymilvus"}


def connect_client(client: Any) -> tuple[Connector, str]:
    """Return the connector of a ready QdrantClient or MilvusClient, and the address of its server.

    The address is `qdrant:` or `milvus:` where the client doesn't tell it. Raises InputError for anything else, and for
    a client of an embedded engine.
    """
    modules = {_KINDS.get(one.__name__): one.__module__.partition(".")[0] for one in type(client).__mro__}
    if modules.get("qdrant_client") == "qdrant_client":
        from cohorts.connectors.qdrant.server import QdrantConnector

        return QdrantConnector(client=client), _of_qdrant(client.init_options)
    if modules.get("pymilvus") == "pymilvus":
        from cohorts.connectors.milvus.server import MilvusConnector

        return MilvusConnector(client=client), _of_milvus(getattr(client, "_config", None))
    got = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
    raise InputError(
        f"A store is an address as in 'qdrant:PATH', a QdrantClient or a MilvusClient; got {got}."
    )


def _of_qdrant(options: dict[str, Any]) -> str:
    location = options.get("location")
    if options.get("path") or location == ":memory:":
        raise InputError(
            "This QdrantClient is of no server: give the address of an embedded store instead, as in 'qdrant:PATH'."
        )
    protocol = "grpc" if options.get("prefer_grpc") else "http"
    url = options.get("url") or location or options.get("host") or ""
    parts = urlsplit(url if "://" in url else f"//{url}")
    port = options.get("grpc_port") if protocol == "grpc" else parts.port or options.get("port")
    tls = "s" if options.get("https") or parts.scheme == "https" else ""
    return _address(f"qdrant+{protocol}{tls}", parts.hostname, port or PORTS["qdrant", protocol])


def _of_milvus(config: Any) -> str:
    uri = str(getattr(config, "uri", ""))
    if uri.endswith(".db"):
        raise InputError(
            f"This MilvusClient is of an embedded file: give its address instead, as in 'milvus:{uri}'."
        )
    parts = urlsplit(uri)
    database = str(getattr(config, "db_name", ""))
    tls = "s" if parts.scheme == "https" else ""
    base = _address(f"milvus+http{tls}", parts.hostname, parts.port or PORTS["milvus", "http"])
    return f"{base}/{database}" if database and parts.hostname else base


def _address(scheme: str, host: str | None, port: int) -> str:
    """Return an address without what may be a secret in a URL: user, password and settings."""
    if not host:
        return f"{scheme.partition('+')[0]}:"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
