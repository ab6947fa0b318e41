"""Keys, tokens and TLS: they open the server, and show nowhere."""

import logging
import signal
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.connectors.addresses import Secret, parse_server
from cohorts.connectors.base import Collection
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, StoreAddressError
from engine_contract import DIM
from pymilvus import MilvusClient, MilvusException
from servers import Milvus, QdrantNode

KEY = "s3cr3t-k3y-of-the-hospital"
TOKEN = "root:Milvus"  # what a server is born with
UNCHECKED = "check_compatibility=false"
BY_PLAIN_TEXT = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
NAMES = {"qdrant": "COHORTS_QDRANT_API_KEY", "milvus": "COHORTS_MILVUS_TOKEN"}


@pytest.fixture(autouse=True)
def no_secrets_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no secret of whoever runs the tests decide."""
    for name in NAMES.values():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


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


@pytest.fixture(scope="module")
def locked_without_tls(server_folder: Path) -> Iterator[QdrantNode]:
    node = QdrantNode(server_folder / "locked_without_tls", QDRANT__SERVICE__API_KEY=KEY)
    node.start()
    yield node
    node.kill(signal.SIGTERM)


class LockedMilvus(Milvus):
    """A Milvus that wants a token."""

    def start(self) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("COMMON_SECURITY_AUTHORIZATIONENABLED", "true")
            super().start()

    def is_ready(self) -> bool:
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        address = f"http://127.0.0.1:{self.port}"
        try:
            client = MilvusClient(address, token=TOKEN, timeout=5, dedicated=True)
            client.list_collections(timeout=5)
        except MilvusException:
            return False
        client.close()
        return True


@pytest.fixture(scope="module")
def locked_milvus(server_folder: Path) -> Iterator[Milvus]:
    server = LockedMilvus(server_folder / "locked_milvus")
    server.start()
    yield server
    server.end()


@pytest.fixture(
    params=[pytest.param(one, marks=pytest.mark.server) for one in ("https", "grpcs", "http", "grpc")]
)
def store(request: pytest.FixtureRequest) -> str:
    """Return the address of a Qdrant that wants a key, by each protocol, with TLS and without."""
    if request.param.endswith("s"):
        node, certificate = request.getfixturevalue("locked")
        more = f"ca_file={certificate}&{UNCHECKED}"
    else:
        node, more = request.getfixturevalue("locked_without_tls"), UNCHECKED
    port = node.http if request.param.startswith("http") else node.grpc
    return f"qdrant+{request.param}://127.0.0.1:{port}?{more}"


class Seen:
    """All that a user, a log or a crash report could come to see."""

    def __init__(
        self,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        recwarn: pytest.WarningsRecorder,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        self.loggers = [
            one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)
        ]
        self.levels = [one.level for one in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.DEBUG)
        self.caplog, self.capfd, self.recwarn = caplog, capfd, recwarn

    def restore(self) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)

    def without(self, secret: str, *more: object) -> bool:
        """Tell that the secret shows neither there, nor in what is given, as `str` or as `repr`."""
        logging.getLogger("tests.secrets").debug("all is seen")
        printed = self.capfd.readouterr()
        texts = [self.caplog.text, printed.out, printed.err, *(str(one.message) for one in self.recwarn)]
        for one in more:
            texts += [str(one), repr(one), repr(getattr(one, "__dict__", ""))]
            if isinstance(one, BaseException):
                texts += traceback.format_exception(one)
        assert "all is seen" in self.caplog.text
        return not any(secret in text for text in texts)


@pytest.fixture
def seen(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> Iterator[Seen]:
    watching = Seen(caplog, capfd, recwarn)
    yield watching
    watching.restore()


def test_the_key_opens_and_shows_nowhere(store: str, monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    monkeypatch.setenv(NAMES["qdrant"], KEY)
    with connect(store) as connector:
        for left in connector.collections():
            connector.drop(left)
        connector.create(Collection("c", DIM))
        assert connector.count("c") == 0
        assert seen.without(KEY, connector, parse_server(store))
    warned = [str(one.message) for one in seen.recwarn]
    assert warned == ([] if "ca_file" in store else ["Api key is used with an insecure connection."])


@BY_PLAIN_TEXT
def test_the_key_may_stand_in_a_file(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("COHORTS_QDRANT_API_KEY_FILE", str(tmp_path / "key"))
    with connect(store) as connector:
        connector.collections()


@pytest.mark.parametrize("key", ["", "wrong-" + KEY])
def test_a_wrong_key_is_an_error_that_does_not_show_it(
    store: str, monkeypatch: pytest.MonkeyPatch, key: str, seen: Seen
) -> None:
    monkeypatch.setenv(NAMES["qdrant"], key)
    with (
        connect(store) as connector,
        pytest.raises(EngineError, match=r"401|UNAUTHENTICATED|PERMISSION") as raised,
    ):
        connector.collections()
    assert seen.without(KEY, connector, raised.value)


@BY_PLAIN_TEXT
@pytest.mark.parametrize("around", ["{}\n", " {} ", "{}\r\n"])
def test_the_end_of_a_line_is_no_part_of_a_key(
    store: str, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    """What `KEY="$(printf …)"`, an env file or a secret's mount leave behind; a header would be refused with it."""
    monkeypatch.setenv(NAMES["qdrant"], around.format(KEY))
    with connect(store) as connector:
        connector.collections()


@pytest.mark.parametrize("inside", ["\n", "\0", "\x7f", "é", "\u2028"])
def test_a_key_that_can_not_be_sent_is_refused_without_showing_it(inside: str, tmp_path: Path) -> None:
    """HTTP's own errors show the header, key and all; gRPC's are no errors of ours."""
    first, last = KEY[:9], KEY[9:]
    (tmp_path / "key").write_text(first + inside + last, encoding="utf-8")
    environments = [
        {NAMES["qdrant"]: first + inside + last},
        {f"{NAMES['qdrant']}_FILE": str(tmp_path / "key")},
    ]
    for environment in environments:
        for protocol in ("http", "grpcs"):
            with pytest.raises(StoreAddressError, match="COHORTS_QDRANT_API_KEY") as raised:
                parse_server(f"qdrant+{protocol}://h", environment)
            shown = "".join(traceback.format_exception(raised.value))
            assert first not in shown
            assert last not in shown


def test_a_certificate_that_nobody_vouches_for_is_refused(
    locked: tuple[QdrantNode, Path], monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setenv(NAMES["qdrant"], KEY)
    for protocol, port in (("https", locked[0].http), ("grpcs", locked[0].grpc)):
        with (
            connect(f"qdrant+{protocol}://127.0.0.1:{port}?{UNCHECKED}") as connector,
            pytest.raises(EngineError, match="failed") as raised,
        ):
            connector.collections()
        assert seen.without(KEY, connector, raised.value)


def test_a_token_opens_milvus_and_shows_nowhere(
    locked_milvus: Milvus, monkeypatch: pytest.MonkeyPatch, seen: Seen, tmp_path: Path
) -> None:
    store = f"milvus+http://127.0.0.1:{locked_milvus.port}"
    monkeypatch.setenv(NAMES["milvus"], TOKEN)
    with connect(store) as connector:
        assert connector.collections() == []
        assert seen.without(TOKEN, connector, parse_server(store))
    monkeypatch.delenv(NAMES["milvus"])
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv(f"{NAMES['milvus']}_FILE", str(tmp_path / "token"))
    with connect(store) as connector:
        assert connector.collections() == []
    monkeypatch.setenv(NAMES["milvus"], f"root:{KEY}")
    with connect(store) as connector, pytest.raises(EngineError) as raised:
        connector.collections()
    assert seen.without(KEY, connector, raised.value)


def test_secrets_are_read_from_the_environment_or_a_file_and_masked(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" root:Milvus \n")
    server = parse_server("milvus+http://h/db", {"COHORTS_MILVUS_TOKEN_FILE": str(tmp_path / "token")})
    assert (server.secret.reveal(), server.database) == ("root:Milvus", "db")
    assert "Milvus" not in f"{server} {server!r} {server.secret}"
    both = {"COHORTS_MILVUS_TOKEN": "first", "COHORTS_MILVUS_TOKEN_FILE": str(tmp_path / "token")}
    assert parse_server("milvus+https://h", both).secret.reveal() == "first"
    assert parse_server("qdrant+https://h", both).secret.reveal() == "", "each engine has its own"
    assert repr(Secret("x")) == "Secret(***)"


@pytest.mark.parametrize("engine", ["qdrant", "milvus"])
def test_a_file_of_a_secret_that_can_not_be_read_is_told(engine: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + KEY.encode())
    for file in (tmp_path / "none", tmp_path, tmp_path / "binary"):
        with pytest.raises(StoreAddressError, match=f"{NAMES[engine]}_FILE names a file that can't") as error:
            parse_server(f"{engine}+http://h", {f"{NAMES[engine]}_FILE": str(file)})
        assert KEY not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"qdrant+http://user:{KEY}@h", NAMES["qdrant"]),
        (f"qdrant+grpc://a,user:{KEY}@h:1", NAMES["qdrant"]),
        (f"milvus+http://root:{KEY}@h/db", NAMES["milvus"]),
        (f"qdrant+http://h:port?api_key={KEY}", "is no address"),
        (f"milvus+http://h:99999?token={KEY}", "is no address"),
        (f"qdrant+http://h?api_key={KEY}", "api_key can't be set"),
        (f"https://h?token={KEY}", "is no store address"),
        (f"redis:h?password={KEY}", "is no store address"),
    ],
)
def test_a_secret_in_an_address_is_refused_without_showing_it(address: str, told: str) -> None:
    with pytest.raises(StoreAddressError, match=told) as raised:
        connect(address)
    assert KEY not in "".join(traceback.format_exception(raised.value))
