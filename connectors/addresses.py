"""Addresses of servers, as in `qdrant+grpc://host:6334,host:6334?replicas=2`, and the secrets that open them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cohorts.errors import StoreAddressError

PORTS = {("qdrant", "http"): 6333, ("qdrant", "grpc"): 6334, ("milvus", "http"): 19530}
SECRETS = {"qdrant": "COHORTS_QDRANT_API_KEY", "milvus": "COHORTS_MILVUS_TOKEN"}
LOOPBACK = "127.0.0.1"
_DEFAULT_DATABASE = "default"  # of Milvus, where an address names none
_NUMBERS = {"timeout_s": (1, 3_600), "shards": (1, 1_000), "replicas": (1, 100)}


def is_server(address: str) -> bool:
    """Tell whether a store's address names a server; the others are an engine and a path, as `milvus:cohort.db`."""
    return "+" in address.partition(":")[0]


def without_settings(address: str) -> str:
    """Return the address of the store itself, which stays the same when timeouts and the like change."""
    return address.partition("?")[0]


class Secret:
    """A key or token; only `reveal` shows it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the client alone."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"


@dataclass(frozen=True)
class Server:
    """One server or the nodes of one cluster, and how to talk to them; `timeout_s` bounds each call.

    `shards` and `replicas` are for the collections made through this address; None leaves the engine's default.
    """

    engine: str
    protocol: str
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    database: str = ""
    timeout_s: int = 60
    shards: int | None = None
    replicas: int | None = None
    ca_file: Path | None = None
    check_compatibility: bool = True
    secret: Secret = field(default=Secret(""), compare=False)


def parse_server(address: str, environment: Mapping[str, str] = os.environ) -> Server:
    """Read a server's address, and its secret from the environment or a file. Raises StoreAddressError.

    Schemes: qdrant+http, qdrant+https, qdrant+grpc, qdrant+grpcs, milvus+http, milvus+https. Settings after a `?`:
    timeout_s, shards, replicas, ca_file, check_compatibility.
    """
    scheme, _, rest = address.partition("://")
    engine, _, protocol = scheme.partition("+")
    tls = protocol in ("https", "grpcs")
    plain = protocol[:-1] if tls else protocol
    if (engine, plain) not in PORTS:
        raise StoreAddressError(
            f"{scheme}: is no scheme of a server. There are: qdrant+http, qdrant+grpc and milvus+http, each with an s "
            "for TLS."
        )
    if "@" in rest:
        raise StoreAddressError(
            f"A {engine} address may hold no user and no password: put the secret into the environment variable "
            f"{SECRETS[engine]}, or its file's name into {SECRETS[engine]}_FILE."
        )
    try:
        parts = urlsplit(f"//{rest}")
        hosts = tuple(_host(one, PORTS[engine, plain]) for one in parts.netloc.split(","))
    except ValueError as error:
        shown = without_settings(address)  # what stands behind it may be a key, put there by mistake
        raise StoreAddressError(f"{shown!r} is no address of a server: {error}.") from error
    settings = _settings(parts.query)
    database = parts.path.strip("/")
    if engine == "milvus" and len(hosts) > 1:
        raise StoreAddressError(
            "Milvus has one address, its proxy's or load balancer's; Qdrant takes several."
        )
    if engine == "qdrant" and database:
        raise StoreAddressError(f"A Qdrant address has no path: {database!r} means nothing.")
    secret = _secret(SECRETS[engine], environment)
    if engine == "qdrant" and not (secret.isascii() and secret.isprintable()):  # it is sent as a header
        raise StoreAddressError(
            f"The key in {SECRETS[engine]}, or in its file, is not one line of plain ASCII characters."
        )
    return Server(engine, plain, tls, hosts, database=database, secret=Secret(secret), **settings)


def place_of(server: Server) -> str:
    """Return what names a server however its address is spelt: engine, hosts and ports, and the database.

    This machine's own names are one, and the port of Qdrant's gRPC is taken to follow that of its REST, as it does
    unless somebody set it. Other names are left as they are: an address behind a name may change.
    """
    before = 1 if (server.engine, server.protocol) == ("qdrant", "grpc") else 0
    hosts = sorted({f"{_one_name(host)}-{port - before}" for host, port in server.hosts})
    database = server.database if server.database != _DEFAULT_DATABASE else ""
    return re.sub(r"[^\w.]+", "-", "-".join((server.engine, *hosts, database))).strip("-")


def _one_name(host: str) -> str:
    """Return a host's name, one for all those of this machine's loopback."""
    name = host.lower().rstrip(".")
    try:
        return LOOPBACK if name == "localhost" or ip_address(name).is_loopback else name
    except ValueError:
        return name


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("it names no host")
    if parts.port == 0:
        raise ValueError("nothing listens on port 0")
    return parts.hostname, parts.port or port


def _settings(query: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in settings:
            raise StoreAddressError(f"{key} is set twice in the address: leave one out.")
        if key in _NUMBERS:
            low, high = _NUMBERS[key]
            if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
                raise StoreAddressError(f"{key}={value}: it is a whole number from {low} to {high:,}.")
            settings[key] = int(value)
        elif key == "ca_file":
            if not Path(value).is_file():
                raise StoreAddressError(
                    f"ca_file={value}: there is no such file; it holds certificates in PEM."
                )
            settings[key] = Path(value)
        elif key == "check_compatibility" and value in ("true", "false"):
            settings[key] = value == "true"
        else:
            known = ", ".join((*_NUMBERS, "ca_file", "check_compatibility (true or false)"))
            raise StoreAddressError(f"{key} can't be set in an address like that. Settings: {known}.")
    return settings


def _secret(name: str, environment: Mapping[str, str]) -> str:
    value, file = environment.get(name, "").strip(), environment.get(f"{name}_FILE", "")
    if value or not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreAddressError(
            f"{name}_FILE names a file that can't be read: {type(error).__name__}."
        ) from error
