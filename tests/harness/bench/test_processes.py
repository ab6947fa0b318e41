"""What a process costs, read from outside: real processes and servers. Nothing is judged by how long it took."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import servers
from bench_answers import qdrant_address
from cohorts.errors import EngineError
from cohorts.harness.bench.load import processes


def python(code: str) -> subprocess.Popen[str]:
    """Start a process that waits to be told, by a line, to go on; it has printed one before."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return said(process)


class TestProcesses:
    @pytest.fixture
    def started(self) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
        all_started = []

        def start(code: str) -> subprocess.Popen[str]:
            all_started.append(python(code))
            return all_started[-1]

        yield start
        for process in all_started:
            process.kill()
            process.communicate()

    LISTEN = (
        "import socket, time; one = socket.create_server(({host!r}, {port}), family={family}); "
        "print(one.getsockname()[1], flush=True); input()"
    )

    @pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 2), ("", 2), ("::1", 10)])
    def test_the_process_that_listens_is_found(self, started: Any, host: str, family: int) -> None:
        port = servers.free_port()  # of 127.0.0.1: on ::1 alone, somebody may listen there
        listening = started(self.LISTEN.format(host=host, family=family, port=port))
        assert processes.listening_pid(int(said(listening))) == listening.pid

    def test_the_address_of_a_server_leads_to_its_process(self, qdrant: servers.QdrantNode) -> None:
        assert qdrant.process is not None
        for address in (qdrant_address(qdrant), f"qdrant+http://localhost:{qdrant.http}"):
            assert processes.server_pid(address) == qdrant.process.pid

    def test_a_server_in_a_network_of_its_own_is_found_behind_its_relay(self, milvus: servers.Milvus) -> None:
        assert milvus.relay is not None
        pid = processes.server_pid(f"milvus+http://127.0.0.1:{milvus.port}")
        assert pid == milvus.relay.pid
        assert milvus.group in [one.pid for one in processes.family(pid)]
        ours, all_of_it = processes.memory(milvus.group), processes.memory(pid)
        assert 50 < (ours.rss_anon_mib or 0) < (all_of_it.rss_anon_mib or 0)

    def test_what_can_not_be_seen_is_said_to_be_so(self, started: Any) -> None:
        assert processes.server_pid("qdrant+http://192.0.2.1:6333") is None
        assert processes.server_pid("qdrant:here") is None
        assert processes.listening_pid(servers.free_port()) is None
        for nobody in (None, 2**22 + 1):
            unseen = processes.memory(nobody)
            assert (unseen.rss_anon_mib, unseen.rss_file_mib) == (None, None)
            assert "not visible" in unseen.how
            assert processes.Meter(nobody).cores() is None
        forwarder = started(
            "open('/proc/self/comm', 'w').write('docker-proxy'); "
            + self.LISTEN.format(host="", family=2, port=0)
        )
        assert processes.listening_pid(int(said(forwarder))) is None

    def test_memory_counts_what_children_hold(self, started: Any) -> None:
        parent = started(
            "import subprocess, sys; code = 'print(1, flush=True); input(); x = bytes(1) * (200 << 20); "
            "x = bytearray(x); print(2, flush=True); input()'; subprocess.run([sys.executable, '-c', code])"
        )
        said(parent)
        before = processes.memory(parent.pid)
        tell(parent)
        after = processes.memory(parent.pid)
        assert (after.rss_anon_mib or 0) - (before.rss_anon_mib or 0) >= 150
        assert abs((after.rss_file_mib or 0) - (before.rss_file_mib or 0)) < 50
        assert after.how == f"RssAnon of {parent_name(parent)} (pid {parent.pid}) and 1 of its children"

    def test_processor_time_counts_what_children_spend(self, started: Any) -> None:
        busy = "import time\nwhile time.process_time() < 0.5: pass"
        parent = started(
            f"import subprocess, sys; print(1, flush=True); input(); subprocess.run([sys.executable, '-c', {busy!r}]);"
            "print(2, flush=True); input()"
        )
        said(parent)
        meter, idle = processes.Meter(parent.pid), processes.Meter(os.getppid())
        tell(parent)  # the child has ended by then, and its time is its parent's
        assert (meter.spent_s() or 0.0) >= 0.4
        assert (meter.cores() or 0.0) > 0.0
        assert idle.cores() is not None

    BURN = "import time, sys; began = time.process_time(); print(1, flush=True)\n"

    def test_a_server_is_waited_for_until_it_rests(
        self, started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "IDLE_CORES", 0.05)  # other tests may leave it less than half a core
        done = tmp_path / "done"
        busy = started(
            f"{self.BURN}while time.process_time() - began < 2: pass\nopen({str(done)!r}, 'w'); input()"
        )
        said(busy)
        assert processes.idle_since(busy.pid, 1.0, 60) is not None
        assert done.exists()

    def test_a_server_that_never_rests_is_not_measured(self, started: Any) -> None:
        busy = started(f"{self.BURN}while True: pass")
        said(busy)
        with pytest.raises(EngineError, match=r"still at work 1 s .* settle = 0"):
            processes.idle_since(busy.pid, 5.0, 1.0)

    def test_a_server_that_has_ended_or_can_not_be_seen_is_not_waited_for(self) -> None:
        assert processes.idle_since(None, 60, 60) is None
        assert processes.idle_since(2**22 + 1, 60, 60) is None

    def test_disk_is_what_is_allocated_and_a_file_of_two_names_counts_once(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a").write_bytes(os.urandom(3 << 20))
        (tmp_path / "b").hardlink_to(tmp_path / "deep" / "a")
        with (tmp_path / "sparse").open("wb") as sparse:
            sparse.truncate(100 << 20)
        assert 3.0 <= processes.disk_mib(tmp_path) < 3.2

    def test_work_in_a_fresh_process_returns_raises_and_dies(self) -> None:
        assert processes.in_fresh_process(os.getpid) != os.getpid()
        with pytest.raises(ValueError, match="invalid literal"):
            processes.in_fresh_process(int, "x")
        with pytest.raises(EngineError, match="The process died"):
            processes.in_fresh_process(os._exit, 1)

    def test_a_signal_ends_a_fresh_process_with_the_command(self, signals: None) -> None:
        def end() -> BaseProcess:
            servers.wait_until(lambda: bool(active_children()), "the process")
            (child,) = active_children()
            os.kill(os.getpid(), signal.SIGTERM)
            return child

        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end)
            with pytest.raises(KeyboardInterrupt):
                processes.in_fresh_process(time.sleep, 60)
        assert ended.result().exitcode == -signal.SIGTERM  # it was not waited for


def parent_name(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/comm").read_text().strip()
