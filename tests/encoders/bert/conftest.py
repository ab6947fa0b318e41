"""A tiny checkpoint, a cache of the test's own, and no network."""

import socket
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_checkpoint
from cohorts.encoders.bert.note_cache import FOLDER
from small_bert import LONG, SHORT


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert") / "tiny", [*SHORT, LONG])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever wants the network says so here."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith("127."):
            raise AssertionError("the network was tried")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
