"""Connections to Qdrant: the client for an address, which of its errors may pass, and how they are told."""

import json
import ssl
import warnings
from importlib.metadata import version
from typing import Any

import grpc
from cohorts.connectors.addresses import Server
from cohorts.connectors.proxies import usable_proxies
from cohorts.errors import VersionMismatch
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.common.version_check import is_compatible
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

ERRORS = (grpc.RpcError, ResponseHandlingException, UnexpectedResponse, ResourceExhaustedResponse)
_PASSING = (
    grpc.StatusCode.INTERNAL,  # "local shard not found", while a node of a cluster comes back
    grpc.StatusCode.FAILED_PRECONDITION,  # "1 out of 6 shards failed to apply operation", likewise
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
)
# gRPC waits up to 2 minutes between attempts to connect, and fails every call meanwhile, though the node is back.
_RECONNECT = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000}


def open_client(server: Server, host: tuple[str, int]) -> QdrantClient:
    """Return a client of one node; it warns where client and server are of different ages."""
    rest = server.protocol == "http"
    options: dict[str, Any] = {"port" if rest else "grpc_port": host[1], "grpc_options": dict(_RECONNECT)}
    if server.ca_file is not None and rest:
        options["verify"] = ssl.create_default_context(cafile=server.ca_file)
    elif server.ca_file is not None:
        options["grpc_options"]["root_certificates"] = server.ca_file.read_bytes()
    if not rest:
        options["trust_env"] = False  # of the client for REST, which is made beside it and not used
    with usable_proxies():
        client = QdrantClient(
            host=host[0],
            prefer_grpc=not rest,
            https=server.tls,
            api_key=server.secret.reveal() or None,
            timeout=server.timeout_s,
            check_compatibility=False,  # it would ask by REST whatever the protocol, and warn from a thread
            **options,
        )
    if server.check_compatibility:
        _compare_versions(version("qdrant-client"), client.info().version)
    return client


def _compare_versions(client: str, server: str) -> None:
    if not is_compatible(client, server):
        warnings.warn(
            f"The Qdrant client is version {client}, the server {server}; they should be of one major version and at "
            "most one minor version apart. ?check_compatibility=false behind the address says that you know.",
            VersionMismatch,
            stacklevel=2,
        )


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call, made again, may succeed."""
    match error:
        case ResponseHandlingException() | ResourceExhaustedResponse():
            return True
        case UnexpectedResponse():
            return error.status_code in (429, 500, 502, 503, 504)
        case grpc.RpcError():
            return error.code() in _PASSING
    return False


def is_taken(error: BaseException | None) -> bool:
    """Tell whether there was a collection of this name already."""
    match error:
        case UnexpectedResponse():
            return bool(error.status_code == 409)
        case grpc.RpcError():
            return bool(error.code() == grpc.StatusCode.ALREADY_EXISTS)
    return False


def is_unreached(error: BaseException) -> bool:
    """Tell whether it may be that nothing of the server's answered."""
    match error:
        case ResponseHandlingException():
            return True
        case UnexpectedResponse():
            return not _said(error)
        case grpc.RpcError():
            return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return False


def reason(error: BaseException) -> str:
    """Return why, in one line and without what was sent."""
    match error:
        case UnexpectedResponse():
            return f"{error.status_code} {_said(error) or error.reason_phrase}"
        case grpc.RpcError():
            return f"{error.code().name} {error.details()}"
        case ResponseHandlingException():
            return f"no answer ({error.source})"
    return str(error)


def _said(error: UnexpectedResponse) -> str:
    """Return the reason that Qdrant gave; "" for an answer of something else."""
    try:
        return str(json.loads(error.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return ""
