"""What the tests share: the real open data beside the checkout, the real servers, and the marks of what they cost."""

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import costs
import pytest
import servers
from cohorts.commands import configuration
from cohorts.loaders.interrupt import end_on_signals
from cohorts.records.base import Batch, Report
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.tables import partition
from hypothesis import settings
from small_hospitals import OpenOwn, Own, Read, worked_example

pytest.register_assert_rewrite("engine_contract")
# The same examples in every run, however slow; --hypothesis-profile=default draws others.
settings.load_profile("ci")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background has it, and what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in costs.marks_of(item):
            item.add_marker(mark)


SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_DATA = SHARED / "data"
SHARED_PAPERS = SHARED / "papers"


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test maps apart from the user's own, and from what other tests mapped on the same server."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / secrets.token_hex(8)))


@pytest.fixture(autouse=True)
def no_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands without what the user set in the environment and in a file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / secrets.token_hex(8)))
    for key in configuration.KEYS:
        monkeypatch.delenv(configuration.variable(key), raising=False)


@pytest.fixture(scope="module")
def one_batch() -> Iterator[None]:
    """Read every hospital in one batch, however large its tables are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "PART_BYTES", 1 << 40)
        yield


@pytest.fixture(autouse=True, scope="session")
def clean_checkout() -> Iterator[None]:
    """Fail where a test wrote a store, or the folder of its runs, to the folder that the tests are run in."""
    here = Path.cwd()
    before = set(here.glob("cohorts*"))
    yield
    left = sorted(one.name for one in set(here.glob("cohorts*")) - before)
    assert not left, f"tests left behind: {', '.join(left)}; let them change to a folder of their own"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real open clinical data; CI always has it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real open data is not here: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_papers() -> Path:
    """Return the folder of the papers' texts; without it, nothing here can be trusted: in CI that is a failure."""
    if not SHARED_PAPERS.is_dir():
        message = f"the papers' texts are not here: {SHARED_PAPERS}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return SHARED_PAPERS


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return how to read a small source: its only batch, and its report."""

    def read_it(name: str, path: Path, **more: Any) -> tuple[Batch, Report]:
        work = tmp_path / "work"
        with open_source(name, path, work_dir=work, quarantine_file=work / "bad.csv", **more) as source:
            (batch,) = source.batches()
            return batch, source.report

    return read_it


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Return the worked example of a hospital's own tables."""
    return worked_example(tmp_path)


@pytest.fixture
def open_own(tmp_path: Path) -> OpenOwn:
    """Return how to open a hospital's own tables, by their folder and their mapping."""

    def open_it(path: Path, mapping: Path, **more: Any) -> PartitionedSource:
        work, bad = tmp_path / "work", tmp_path / "bad.csv"
        return open_source("tables", path, mapping=mapping, work_dir=work, quarantine_file=bad, **more)

    return open_it


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the servers' data."""
    if not servers.installed():
        pytest.skip("the real servers are not installed: run tests/install_servers.sh")
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def qdrant_process(server_folder: Path) -> Iterator[servers.QdrantNode]:
    """Start a Qdrant server for the session."""
    node = servers.QdrantNode(server_folder / "qdrant")
    node.start()
    yield node
    node.kill(signal.SIGTERM)


@pytest.fixture
def qdrant(qdrant_process: servers.QdrantNode, request: pytest.FixtureRequest) -> servers.QdrantNode:
    """Return the session's Qdrant server, empty."""
    costs.check_server_mark(request)
    qdrant_process.empty()
    return qdrant_process


@pytest.fixture(scope="session")
def qdrant_cluster(server_folder: Path) -> Iterator[servers.QdrantCluster]:
    """Start a Qdrant cluster of three for the session."""
    cluster = servers.QdrantCluster(server_folder / "cluster")
    cluster.start()
    yield cluster
    cluster.kill()


@pytest.fixture(scope="module")
def milvus_process(server_folder: Path) -> Iterator[servers.Milvus]:
    """Start a Milvus server for a module: one that idles takes a sixth of a core, the session long."""
    server = servers.Milvus(server_folder / f"milvus-{secrets.token_hex(4)}")
    server.start()
    yield server
    server.end()


@pytest.fixture
def milvus(milvus_process: servers.Milvus, request: pytest.FixtureRequest) -> servers.Milvus:
    """Return the module's Milvus server, empty."""
    costs.check_server_mark(request)
    milvus_process.empty()
    return milvus_process


@pytest.fixture
def signals() -> Iterator[None]:
    """Let signals end this process as they end the command line."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    end_on_signals()
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
