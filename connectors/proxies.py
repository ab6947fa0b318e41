"""The proxy by which a server is asked, as the environment names one: it may stand in the way of a server nearby."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cohorts.connectors.addresses import Server
from cohorts.errors import InputError

# Of a gRPC channel to this machine; its own settings for proxies are then not read.
DIRECT = {"grpc.enable_http_proxy": 0}
_OF_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")  # the first that is set, in small letters alone
_NONE_BY_GRPC = ("no_grpc_proxy", "no_proxy")
_OF_REST = ("http", "https", "all")


def proxy_hint(server: Server | None) -> str:
    """Return what an error adds of the proxy by which a server is asked, and how to go without; "" for none.

    It holds no user and no password of the proxy.
    """
    if server is None:
        return ""
    by_grpc = server.engine == "milvus" or server.protocol == "grpc"
    variable, address = _of_grpc() if by_grpc else _of_rest(server.tls)
    is_direct = _is_direct_by_grpc if by_grpc else _is_direct_by_rest
    hosts = [host for host, port in server.hosts if not is_direct(host, port)]
    if not address or not hosts:
        return ""
    small = " (in small letters)" if by_grpc else ""
    return (
        f". It was asked through the proxy{_place(address)} that {variable} names: where it can be reached without "
        f"one, add {','.join(hosts)} to the environment variable no_proxy{small} and run this again."
    )


@contextmanager
def usable_proxies() -> Iterator[None]:
    """Turn what httpx raises at a proxy that it can't use into InputError, without the address that may hold a key.

    It reads every proxy's, also those that it then has no use for.
    """
    import httpx

    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        named = [_variable(scheme) for scheme in _OF_REST if scheme in getproxies()]
        if not named:
            raise
        what = (
            "names a SOCKS proxy, which needs pip install 'httpx[socks]'"
            if isinstance(error, ImportError)
            else "does not name one as http://host:port"
        )
        raise InputError(
            f"The settings for proxies in the environment can't be used: {' or '.join(named)} {what}. Correct it, or "
            "unset it where no proxy is needed."
        ) from None


def _of_rest(tls: bool) -> tuple[str, str]:
    """Return the variable and the address as httpx takes them: in either case of letters."""
    known = getproxies()
    for scheme in ("https" if tls else "http", "all"):
        if known.get(scheme):
            return _variable(scheme), known[scheme]
    return "", ""


def _of_grpc() -> tuple[str, str]:
    variable = next((one for one in _OF_GRPC if os.environ.get(one)), "")
    address = os.environ.get(variable, "")
    return variable, address if address.startswith("http://") else ""  # it goes by no other


def _variable(scheme: str) -> str:
    name = f"{scheme}_proxy"
    return next((one for one in (name, *os.environ) if one.lower() == name and one in os.environ), name)


def _is_direct_by_rest(host: str, port: int) -> bool:
    return bool(proxy_bypass(f"{host}:{port}"))


def _is_direct_by_grpc(host: str, _: int) -> bool:
    """Tell whether gRPC leaves the proxy out: the end of the name is enough for it, and it knows networks."""
    listed = next((found for name in _NONE_BY_GRPC if (found := os.environ.get(name))), "")
    entries = [entry for one in listed.split(",") if (entry := one.strip())]
    return any(host.lower().endswith(entry.lower()) or _is_within(host, entry) for entry in entries)


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _place(address: str) -> str:
    """Return host and port of a proxy's address; "" where they can't be told from what is secret."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        return f" {parts.hostname}:{parts.port}" if parts.port else f" {parts.hostname}"
    except ValueError:
        return ""
