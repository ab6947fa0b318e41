"""What engines promise that outlive a connector, live on this disk, or are servers."""

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.index import Hnsw
from cohorts.connectors.registry import connect
from cohorts.errors import (
    EngineError,
)
from servers import free_port

from engine_contract.batches import DIM, FIELDS, points
from engine_contract.engine import EngineContract


class PersistentContract(EngineContract):
    """What every engine promises that outlives the connector."""

    def test_reopening_finds_data_and_definition(self, connector: Connector, store: str) -> None:
        batch = points(40)
        self.filled(connector, batch)
        before = connector.search("c", batch.vectors[:3], 5)
        connector.close()
        with connect(store) as again:
            description = again.describe("c")
            assert description.collection == Collection("c", DIM, Hnsw(), FIELDS, {"encoder": "e", "x": 1})
            assert description.count == 40
            assert again.search("c", batch.vectors[:3], 5) == before


class EmbeddedContract(PersistentContract):
    """What a store on disk promises: set `address`; {tmp} in it is a fresh folder."""

    address: str

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        return self.address.format(tmp=tmp_path)

    def elsewhere(self, call: str, store: str) -> str:
        """Return what another process prints and complains of when it calls a method on the store."""
        code = (
            "import os; from cohorts.connectors.base import Collection\n"
            f"from cohorts.connectors.registry import connect; other = connect({store!r})\n"
            f"print({call}); other.close()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr

    def test_a_store_that_another_process_holds_is_refused(self, connector: Connector, store: str) -> None:
        self.filled(connector, points(5))
        for call in ("other.count('c')", "other.drop('c')", "other.create(Collection('d', 4))"):
            said = self.elsewhere(call, store)
            assert "cohorts.errors.EngineError" in said
            assert "another process has it open" in said
        assert connector.collections() == ["c"]
        assert connector.count("c") == 5

    def test_a_closed_store_is_open_to_others_and_survives_their_end(
        self, connector: Connector, store: str
    ) -> None:
        self.filled(connector, points(5))
        connector.close()
        assert self.elsewhere("other.count('c')", store) == "5\n"
        assert self.elsewhere("other.delete('c', ['10000']), os.kill(os.getpid(), 9)", store) == ""
        assert connector.count("c") == 4

    def test_a_store_is_opened_once_by_the_threads_that_ask_it_first(
        self, connector: Connector, store: str
    ) -> None:
        self.filled(connector, points(5))
        for _ in range(5):
            connector.close()
            together = threading.Barrier(4)

            def count(_: int, together: threading.Barrier = together) -> int:
                together.wait(60)
                return connector.count("c")

            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(count, range(4))) == [5] * 4

    def test_a_path_that_can_not_be_is_an_engine_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        connector = connect(self.address.format(tmp=tmp_path / "file"))
        with pytest.raises(EngineError, match="can't use its"):
            connector.create(Collection("c", DIM))


class Restartable(Protocol):
    """A real server that can be killed and started again with its data."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


class ServerContract(PersistentContract):
    """What a server promises: give fixtures `server` and `store`."""

    def test_a_refused_connection_is_told_at_once(self, store: str) -> None:
        address = re.sub(r"127[^?]*", f"127.0.0.1:{free_port()}", store)
        with connect(address) as nowhere, pytest.raises(EngineError, match=r"failed"):
            nowhere.collections()

    def test_what_one_client_writes_another_counts_and_finds(self, connector: Connector, store: str) -> None:
        batch = points(30)
        self.filled(connector, batch)
        with connect(store) as other:
            assert other.count("c") == 30
            connector.delete("c", batch.ids[:10])
            assert other.count("c") == 20
            assert len(other.search("c", batch.vectors[:1], 30).hits[0]) == 20

    def test_a_server_killed_between_two_calls_and_back_has_lost_nothing(
        self, connector: Connector, server: Restartable
    ) -> None:
        batch = points(200)
        self.filled(connector, batch)
        before = connector.search("c", batch.vectors[:3], 5).hits
        server.kill()
        server.start()
        assert connector.count("c") == 200
        assert [[hit.id for hit in hits] for hits in connector.search("c", batch.vectors[:3], 5).hits] == [
            [hit.id for hit in hits] for hits in before
        ]
        connector.upsert("c", Points(["after"], batch.vectors[:1], [{}]))
        assert connector.count("c") == 201
