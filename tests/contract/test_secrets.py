"""Keys, tokens and TLS: they open the server, and show nowhere."""

import logging
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.connectors.addresses import Secret, parse_server
from cohorts.connectors.base import Collection
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, StoreAddressError
from engine_contract import DIM
from servers import QdrantNode

KEY = "s3cr3t-k3y-of-the-hospital"
UNCHECKED = "check_compatibility=false"


@pytest.fixture(scope="module")
def locked(
    server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[QdrantNode, Path]]:
    """Start a Qdrant that wants a key and speaks TLS with a certificate of its own; give the certificate too."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    node = QdrantNode(
        server_folder / "locked",
        QDRANT__SERVICE__API_KEY=KEY,
        QDRANT__SERVICE__ENABLE_TLS="true",
        QDRANT__TLS__CERT=str(certificate),
        QDRANT__TLS__KEY=str(key),
    )
    node.start()
    yield node, certificate
    node.kill(signal.SIGTERM)


@pytest.fixture(params=["https", "grpcs"])
def store(request: pytest.FixtureRequest, locked: tuple[QdrantNode, Path]) -> str:
    node, certificate = locked
    port = node.http if request.param == "https" else node.grpc
    return f"qdrant+{request.param}://127.0.0.1:{port}?ca_file={certificate}&{UNCHECKED}"


def test_the_key_opens_by_tls_and_shows_nowhere(
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("COHORTS_QDRANT_API_KEY", KEY)
    with connect(store) as connector:
        for left in connector.collections():
            connector.drop(left)
        connector.create(Collection("c", DIM))
        assert connector.count("c") == 0
        shown = repr(vars(connector)) + repr(connector)
    captured = capfd.readouterr()
    for text in (shown, caplog.text, captured.out, captured.err):
        assert KEY not in text


def test_the_key_may_stand_in_a_file(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("COHORTS_QDRANT_API_KEY_FILE", str(tmp_path / "key"))
    with connect(store) as connector:
        connector.collections()


@pytest.mark.parametrize("key", ["", "wrong-" + KEY])
def test_a_wrong_key_is_an_error_that_does_not_show_it(
    store: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("COHORTS_QDRANT_API_KEY", key)
    with (
        connect(store) as connector,
        pytest.raises(EngineError, match=r"401|UNAUTHENTICATED|PERMISSION") as raised,
    ):
        connector.collections()
    assert KEY not in str(raised.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COHORTS_QDRANT_API_KEY", KEY)
    with (
        connect(f"{store.partition('?')[0]}?{UNCHECKED}") as connector,
        pytest.raises(EngineError, match="failed"),
    ):
        connector.collections()


def test_secrets_are_read_from_the_environment_or_a_file_and_masked(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" root:Milvus \n")
    server = parse_server("milvus+http://h/db", {"COHORTS_MILVUS_TOKEN_FILE": str(tmp_path / "token")})
    assert (server.secret.reveal(), server.database) == ("root:Milvus", "db")
    assert "Milvus" not in f"{server} {server!r} {server.secret}"
    both = {"COHORTS_MILVUS_TOKEN": "first", "COHORTS_MILVUS_TOKEN_FILE": str(tmp_path / "token")}
    assert parse_server("milvus+https://h", both).secret.reveal() == "first"
    assert repr(Secret("x")) == "Secret(***)"
    with pytest.raises(StoreAddressError, match="COHORTS_MILVUS_TOKEN_FILE names a file that can't be read"):
        parse_server("milvus+http://h", {"COHORTS_MILVUS_TOKEN_FILE": str(tmp_path / "none")})
