"""What a process costs, read from outside, and how it was read.

A client's own memory says nothing of its server's: here the server's process is looked for by the port that it listens
on, and what it started counts with it. What can't be seen (another machine, another network namespace, another user's
process) is None, and `how` says so.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil
from cohorts.connectors.addresses import is_server, parse_server
from cohorts.errors import EngineError

P = ParamSpec("P")
R = TypeVar("R")
MIB = 1 << 20
IDLE_CORES, LOOK_S = 0.5, 1.0  # an idle Milvus takes .04 of a core, a build more than one
NOT_VISIBLE = "not visible: no process of this machine that can be looked into listens on the server's port"
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own
_HERE = ("127.0.0.1", "localhost", "::1")
_LOOPBACK = {"127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"}  # noqa: S104 - compared with, never bound to
# They hold the port for a server that runs elsewhere; their own memory is not the server's.
_FORWARDERS = {"docker-proxy", "rootlessport", "slirp4netns", "pasta", "ssh", "kubectl", "socat"}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory in MiB: anonymous pages, which are a process's own, and pages of files, which can be dropped."""

    rss_anon_mib: float | None
    rss_file_mib: float | None
    how: str


def server_pid(address: str) -> int | None:
    """Return the process behind a server's address; None where it can't be seen, or where there are several nodes."""
    hosts = parse_server(address).hosts if is_server(address) else ()
    return listening_pid(hosts[0][1]) if len(hosts) == 1 and hosts[0][0] in _HERE else None


def listening_pid(port: int) -> int | None:
    """Return the process that listens on a port of this machine's loopback; of several, the one that began them."""
    pids = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
        and one.laddr.port == port
        and one.laddr.ip in _LOOPBACK
        and one.pid
    }
    for pid in sorted(pids):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.ppid() not in pids:
                return None if process.name().partition(".")[0] in _FORWARDERS else pid
    return None


def family(pid: int | None) -> list[psutil.Process]:
    """Return a process and all that descend from it; empty where it has ended, and for None."""
    with suppress(psutil.Error):
        if pid is not None:
            first = psutil.Process(pid)
            return [first, *first.children(recursive=True)]
    return []


def memory(pid: int | None) -> Memory:
    """Return the memory of a process with all its children; None stands for a process that can't be seen."""
    processes = family(pid)
    sizes = [size for one in processes if (size := _resident_mib(one))]
    if not sizes:
        return Memory(rss_anon_mib=None, rss_file_mib=None, how=NOT_VISIBLE)
    anon, file = map(sum, zip(*sizes, strict=True))
    return Memory(rss_anon_mib=anon, rss_file_mib=file, how=f"RssAnon of {_shown(processes)}")


def growth() -> Callable[[], Memory]:
    """Return what tells by how much the memory of this process has grown since now.

    Its children do not count, nor what was freed but not given back.
    """
    before = _own_mib()

    def grown() -> Memory:
        anon, file = (now - then for now, then in zip(_own_mib(), before, strict=True))
        how = "RssAnon of this process less what it held before the build"
        return Memory(rss_anon_mib=anon, rss_file_mib=file, how=how)

    return grown


def _own_mib() -> tuple[float, float]:
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc's own; elsewhere there is no such function
        ctypes.CDLL(None).malloc_trim(0)
    return _resident_mib(psutil.Process()) or (0.0, 0.0)


class Meter:
    """Counts the processor seconds of a process, and of all that it started, from now on."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._began, self._before_s = time.perf_counter(), self._all_s()

    def spent_s(self) -> float | None:
        """Return the seconds since the meter was made; None where the process can't be seen."""
        now_s = self._all_s()
        return None if now_s is None or self._before_s is None else now_s - self._before_s

    def cores(self) -> float | None:
        """Return the seconds per second since then: 1.0 keeps one core busy."""
        spent_s, over_s = self.spent_s(), time.perf_counter() - self._began
        return None if spent_s is None else spent_s / over_s

    def _all_s(self) -> float | None:
        """Return the seconds of all, with those of children that have ended."""
        spent = []
        for one in family(self._pid):
            with suppress(psutil.Error):
                times = one.cpu_times()
                spent.append(times.user + times.system + times.children_user + times.children_system)
        return sum(spent) if spent else None


def idle_since(pid: int | None, idle_s: float, timeout_s: float) -> float | None:
    """Wait until a process, with its children, has done next to nothing for so many seconds on end.

    Returns when it began to rest, by `time.perf_counter`; None for a process that can't be seen, or has ended. Raises
    EngineError where it is still at work after `timeout_s`.
    """
    rests = began = time.perf_counter()
    while (now := time.perf_counter()) - rests < idle_s:
        if now - began > timeout_s:
            raise EngineError(
                f"The server was still at work {timeout_s:,.0f} s after the index was built: nothing was measured. "
                "Leave it alone, or take settle = 0 to measure it meanwhile."
            )
        meter = Meter(pid)
        time.sleep(min(LOOK_S, idle_s))
        cores = meter.cores()
        if cores is None:
            return None
        if cores > IDLE_CORES:
            rests = time.perf_counter()
    return rests


def disk_mib(folder: Path) -> float:
    """Return the allocated blocks of all that is below a folder, in MiB; a file of two names counts once.

    Of a single file it is the size.
    """
    if not folder.is_dir():
        return folder.stat().st_size / MIB
    sizes = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # an engine at work removes what it has merged
            about = path.lstat()
            sizes[about.st_dev, about.st_ino] = about.st_blocks * _BLOCK_BYTES
    return sum(sizes.values()) / MIB


def in_fresh_process(work: Callable[P, R], *args: P.args, **more: P.kwargs) -> R:
    """Return what `work` returns in a new process, which holds nothing of what came before. Raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *args, **more).result()
        except BrokenProcessPool as error:
            raise EngineError(
                "The process died: killed for its memory, or by a fault of the engine."
            ) from error


def _shown(processes: list[psutil.Process]) -> str:
    children = len(processes) - 1
    shown = f"{processes[0].name()} (pid {processes[0].pid})"
    return shown + (f" and {children} of its children" if children else "")


def _resident_mib(process: psutil.Process) -> tuple[float, float] | None:
    """Return anonymous pages, and those of files; None of a process that has ended, or is not ours to look into."""
    with suppress(psutil.Error, AttributeError):  # not every system tells them apart
        size = process.memory_info()
        return (size.rss - size.shared) / MIB, size.shared / MIB
    return None
