"""Proxies of the environment: embedded engines never go by one, and where a server's gives no answer it is named."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.addresses import parse_server
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.proxies import proxy_hint
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, InputError

DEAD = "http://user:hunter2@127.0.0.1:9"
NAMES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohorts.connectors.retry.FIRST_PATIENCE_S", 0.1)  # none of them will answer
    for name in (*NAMES, "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("store", ["milvus:{tmp}/s.db", "qdrant:{tmp}/s"])
def test_an_embedded_engine_goes_by_no_proxy(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, DEAD)
        monkeypatch.setenv(name.upper(), DEAD)
    with connect(store.format(tmp=tmp_path)) as connector:
        connector.create(Collection("c", 2))
        connector.upsert("c", Points(["a"], np.ones((1, 2), np.float32), [{}]))
        assert connector.count("c") == 1


@pytest.mark.parametrize(
    ("store", "variable"),
    [
        ("qdrant+http://127.0.0.1:1?timeout_s=1", "HTTP_PROXY"),
        ("qdrant+grpc://127.0.0.1:1?timeout_s=1", "grpc_proxy"),
        ("milvus+http://127.0.0.1:1?timeout_s=1", "http_proxy"),
    ],
)
def test_a_proxy_that_is_not_there_is_named_and_its_secrets_are_not(
    store: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, DEAD)
    if "grpc" in variable:
        monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")  # which gRPC leaves out, and httpx can't use
    with connect(store) as connector, pytest.raises(EngineError) as raised:
        connector.collections()
    told = str(raised.value)
    assert f"proxy 127.0.0.1:9 that {variable} names" in told
    assert "add 127.0.0.1 to the environment variable no_proxy" in told
    assert "user" not in told
    assert "hunter2" not in told


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(403)

    do_CONNECT = do_GET  # noqa: N815 - the name of the method

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
        pass


@pytest.fixture
def refusing_proxy() -> Iterator[str]:
    """Return the address of a proxy that lets nobody through."""
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("protocol", ["qdrant+http", "qdrant+grpc"])
def test_a_proxy_that_refuses_is_named(
    protocol: str, refusing_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", refusing_proxy)
    told = r"403.*that http_proxy names.*add 10\.1\.2\.3 to"
    with connect(f"{protocol}://10.1.2.3:1?timeout_s=2") as connector, pytest.raises(EngineError, match=told):
        connector.collections()


@pytest.mark.parametrize(
    ("address", "settings", "told"),
    [
        ("qdrant+http://h", {"https_proxy": DEAD, "grpc_proxy": DEAD}, ""),
        ("qdrant+https://h", {"https_proxy": "proxy:3128"}, "proxy proxy:3128 that https_proxy"),
        ("qdrant+http://h", {"HTTP_PROXY": DEAD, "http_proxy": ""}, ""),
        ("qdrant+http://a,b", {"http_proxy": DEAD, "no_proxy": "a"}, "add b to"),
        ("qdrant+http://a.b.org", {"http_proxy": DEAD, "NO_PROXY": ".b.org"}, ""),
        ("qdrant+http://h:6333", {"http_proxy": DEAD, "no_proxy": "h:6333"}, ""),
        ("qdrant+grpc://h", {"HTTP_PROXY": DEAD, "all_proxy": DEAD}, ""),
        ("qdrant+grpc://h", {"http_proxy": DEAD, "https_proxy": "socks5://h:1"}, ""),
        ("milvus+https://h", {"http_proxy": DEAD, "NO_PROXY": "h"}, "no_proxy (in small letters)"),
        ("milvus+http://10.1.2.3", {"http_proxy": DEAD, "no_proxy": "x, 10.0.0.0/8"}, ""),
        ("milvus+http://10.1.2.3", {"http_proxy": DEAD, "no_grpc_proxy": "1.2.3", "no_proxy": "x"}, ""),
        ("milvus+http://h", {"http_proxy": "http://user:hunter2@h:port"}, "the proxy that http_proxy"),
    ],
)
def test_the_proxy_is_the_one_that_the_client_takes(
    address: str, settings: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    hint = proxy_hint(parse_server(address, {}))
    assert told in hint
    assert bool(hint) == bool(told)
    assert "hunter2" not in hint


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("socks5://user:hunter2@127.0.0.1:9", "needs pip install"),
        ("ftp://user:hunter2@127.0.0.1:9", "does not name one as http"),
        ("http://user:hunter2@h:port", "does not name one as http"),
    ],
)
def test_a_proxy_that_the_client_can_not_use_is_refused_by_its_variable(
    value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    match = f"ALL_PROXY.*{told}"
    with connect("qdrant+http://127.0.0.1:1") as connector, pytest.raises(InputError, match=match) as raised:
        connector.collections()
    assert "hunter2" not in str(raised.value)
