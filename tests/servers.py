"""The real servers that tests and benchmarks talk to, on loopback and free ports, ended by their process ids."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

HERE = Path(__file__).resolve().parent
QDRANT = HERE.parent / ".servers" / "qdrant"
START_S = 90.0


def installed() -> bool:
    return (HERE.parent / ".servers" / ".ready").exists()


def free_port() -> int:
    """Return a port that no outgoing connection is given before a server takes it, or while that is restarted."""
    while True:
        port = 10_000 + secrets.randbelow(22_768)  # up to where Linux begins to give by itself
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def wait_until(ready: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    until = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} within {timeout_s:.0f} s: no")
        time.sleep(0.1)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class QdrantNode:
    """One Qdrant process; the same ports and data after a restart."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.folder, self.arguments = folder, arguments
        self.http, self.grpc = free_port(), free_port()
        self.settings = {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.http),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc),
            "QDRANT__TELEMETRY_DISABLED": "true",
            "QDRANT__STORAGE__PERFORMANCE__OPTIMIZER_CPU_BUDGET": "2",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", QDRANT, *self.arguments],  # it dies with the session
                cwd=self.folder,
                env={**os.environ, **self.settings},
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: answers(self.http) and answers(self.grpc), "a Qdrant node that answers")
        if "QDRANT__CLUSTER__ENABLED" in self.settings:
            wait_until(self.caught_up, "a node that caught up with its cluster")

    def caught_up(self) -> bool:
        """Return whether it knows what happened: before, it answers from what it had when it died."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5).close()
        except OSError:
            return False
        return True

    def client(self, *, prefer_grpc: bool = False) -> "QdrantClient":
        from qdrant_client import QdrantClient

        return QdrantClient(
            host="127.0.0.1",
            port=self.http,
            grpc_port=self.grpc,
            prefer_grpc=prefer_grpc,
            check_compatibility=False,
            timeout=60,
        )

    def empty(self) -> None:
        client = self.client()
        for one in client.get_collections().collections:
            client.delete_collection(one.name)
        client.close()

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(with_signal)
            self.process.wait(30)
            self.process = None


# The server works in turns of .2 to 10 s; a test of few rows would do little but wait for the next one.
SHORT_TURNS = {
    "PROXY_TIMETICKINTERVAL": "20",
    "QUERYCOORD_CHECKCHANNELINTERVAL": "50",
    "QUERYCOORD_CHECKSEGMENTINTERVAL": "50",
    "QUERYCOORD_CHECKINDEXINTERVAL": "500",
    "QUERYCOORD_DISTPULLINTERVAL": "50",
    "QUERYCOORD_UPDATENEXTTARGETINTERVAL": "1",
    "QUERYCOORD_LEADERVIEWUPDATEINTERVAL": "1",
    "INDEXCOORD_SCHEDULER_INTERVAL": "50",
}


class Milvus:
    """One Milvus server; the same port, data and settings (by environment) after a restart."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = SHORT_TURNS) -> None:
        self.folder, self.port, self.settings = folder, free_port(), settings
        self.relay: subprocess.Popen[str] | None = None
        self.group = 0

    def start(self) -> None:
        self.relay = subprocess.Popen(
            [sys.executable, HERE / "milvus_server.py", self.folder, str(self.port)],
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.relay.stdout is not None
        self.group = int(self.relay.stdout.readline())
        wait_until(self.is_ready, "a Milvus server that answers")

    def is_ready(self) -> bool:
        import logging

        from pymilvus import MilvusClient, MilvusException

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        try:
            client = MilvusClient(f"http://127.0.0.1:{self.port}", timeout=5, dedicated=True)
            client.list_collections(timeout=5)
        except MilvusException:
            return False
        client.close()
        return True

    def empty(self) -> None:
        from pymilvus import MilvusClient

        client = MilvusClient(f"http://127.0.0.1:{self.port}", timeout=60, dedicated=True)
        for name in client.list_collections():
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)
        client.close()

    def kill(self) -> None:
        os.killpg(self.group, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        if self.relay is not None:
            self.relay.terminate()
            self.relay.wait(90)
            assert self.relay.stdout is not None
            self.relay.stdout.close()
            self.relay = None


class QdrantCluster:
    """Three nodes on loopback."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(3)]
        uris = [f"http://127.0.0.1:{port}" for port in ports]
        self.nodes = []
        for number, (port, uri) in enumerate(zip(ports, uris, strict=True)):
            arguments = ("--uri", uri) if number == 0 else ("--bootstrap", uris[0], "--uri", uri)
            settings = {"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(port)}
            self.nodes.append(QdrantNode(folder / str(number), *arguments, **settings))

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        wait_until(
            lambda: all(self.peers(node) == 3 for node in self.nodes), "three nodes that know each other"
        )

    def peers(self, node: QdrantNode) -> int:
        import json

        with urllib.request.urlopen(f"http://127.0.0.1:{node.http}/cluster", timeout=5) as answer:
            return len(json.load(answer)["result"]["peers"])

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
