"""What a process costs, read from outside by /proc (Linux), and how it was read.

A client's own memory says nothing of its server's: here the server's process is looked for by the port that it listens
on, and what it started counts with it. What can't be seen (another machine, another network namespace, another user's
process) is None, and `how` says so.
"""

import ctypes
import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from cohorts.connectors.addresses import is_server, parse_server
from cohorts.errors import EngineError

P = ParamSpec("P")
R = TypeVar("R")
MIB = 1 << 20
NOT_VISIBLE = "not visible: no process of this machine that can be looked into listens on the server's port"
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own
_LISTENING = "0A"
# As the kernel writes them: 127.0.0.1 and any address, each also as IPv6.
_LOOPBACK = {
    "0100007F",
    "00000000",
    "00000000000000000000000001000000",
    "00000000000000000000000000000000",
    "0000000000000000FFFF00000100007F",
}
_HERE = ("127.0.0.1", "localhost", "::1")
# They hold the port for a server that runs elsewhere; their own memory is not the server's.
_FORWARDERS = {"docker-proxy", "rootlessport", "slirp4netns", "pasta", "ssh", "kubectl", "socat"}


@dataclass(frozen=True)
class Memory:
    """Resident memory in MiB: anonymous pages, which are a process's own, and pages of files, which can be dropped."""

    rss_anon_mib: float | None
    rss_file_mib: float | None
    how: str


@dataclass(frozen=True)
class Processor:
    """Processor seconds per second: 1.0 keeps one core busy."""

    cores: float | None
    how: str


class _Stat(NamedTuple):
    parent: int
    processor_s: float


def server_pid(address: str) -> int | None:
    """Return the process behind a server's address; None where it can't be seen, or where there are several nodes."""
    if not is_server(address):
        return None
    hosts = parse_server(address).hosts
    if len(hosts) != 1 or hosts[0][0] not in _HERE:
        return None
    return listening_pid(hosts[0][1])


def listening_pid(port: int) -> int | None:
    """Return the process that listens on a port of this machine's loopback; of several, the one that began them."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    pids = {pid for pid in _pids() if sockets and not sockets.isdisjoint(_open_files(pid))}
    first = [pid for pid in sorted(pids) if (stat := _stat(pid)) and stat.parent not in pids]
    if not first or _name(first[0]).partition(".")[0] in _FORWARDERS:
        return None
    return first[0]


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it, ascending; empty where it has ended."""
    stats = {one: stat for one in _pids() if (stat := _stat(one))}
    found = {pid} & stats.keys()
    while more := {one for one, stat in stats.items() if stat.parent in found} - found:
        found |= more
    return sorted(found)


def memory(pid: int | None) -> Memory:
    """Return the memory of a process with all its children; None stands for a process that can't be seen."""
    pids = [] if pid is None else family(pid)
    sizes = [size for one in pids if (size := _resident_kib(one))]
    if pid is None or not sizes:
        return Memory(None, None, NOT_VISIBLE)
    anon, file = (sum(column) / 1024 for column in zip(*sizes, strict=True))
    return Memory(anon, file, f"RssAnon of {_shown(pid, pids)}")


def own_memory() -> Memory:
    """Return the memory of this process, without its children and without what was freed but not given back."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc's own; elsewhere there is no such function
        ctypes.CDLL(None).malloc_trim(0)
    anon, file = _resident_kib(os.getpid()) or (0, 0)
    return Memory(anon / 1024, file / 1024, f"RssAnon of this process ({os.getpid()})")


def own_growth(before: Memory) -> Memory:
    """Return by how much this process has grown since `own_memory` was read."""
    now = own_memory()
    assert now.rss_anon_mib is not None  # noqa: S101 - a process sees itself
    assert now.rss_file_mib is not None  # noqa: S101
    return Memory(
        now.rss_anon_mib - (before.rss_anon_mib or 0),
        now.rss_file_mib - (before.rss_file_mib or 0),
        "RssAnon of this process less what it held before the build",
    )


class Meter:
    """Counts the processor seconds of a process, and of all that it started, from now on."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._began, self._before_s = time.perf_counter(), self._all_s()

    def spent_s(self) -> float | None:
        """Return the seconds since the meter was made; None where the process can't be seen."""
        now_s = self._all_s()
        return None if now_s is None or self._before_s is None else now_s - self._before_s

    def read(self) -> Processor:
        """Return the mean since the meter was made."""
        spent_s, over_s = self.spent_s(), time.perf_counter() - self._began
        if self._pid is None or spent_s is None:
            return Processor(None, NOT_VISIBLE)
        shown = _shown(self._pid, family(self._pid))
        return Processor(spent_s / over_s, f"utime and stime of {shown}")

    def _all_s(self) -> float | None:
        stats = [stat for one in family(self._pid) if (stat := _stat(one))] if self._pid else []
        return sum(stat.processor_s for stat in stats) if stats else None


def disk_mib(folder: Path) -> float:
    """Return the allocated blocks of all that is below a folder, in MiB; a file of two names counts once."""
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


def _shown(pid: int, pids: list[int]) -> str:
    children = len(pids) - 1
    return f"{_name(pid)} (pid {pid})" + (f" and {children} of its children" if children > 0 else "")


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir(_PROC) if entry.isdecimal())  # noqa: PTH208 - names are enough


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            columns = line.split()
            address, _, at = columns[1].partition(":")
            if columns[3] == _LISTENING and int(at, 16) == port and address in _LOOPBACK:
                yield columns[9]


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # it is another user's, or has just ended
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(entry))  # noqa: PTH115 - not a path: socket:[123]
    return found


def _stat(pid: int) -> _Stat | None:
    """Return the parent of a process, and its time with that of its children that have ended."""
    _, closing, rest = _read(_PROC / str(pid) / "stat").rpartition(")")  # a name may hold anything before it
    if not closing:
        return None
    columns = rest.split()
    return _Stat(int(columns[1]), sum(map(int, columns[11:15])) / _TICKS_PER_S)


def _resident_kib(pid: int) -> tuple[int, int] | None:
    lines = _read(_PROC / str(pid) / "status").splitlines()
    sizes = {
        key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if key in _SIZES
    }
    return (sizes["RssAnon"], sizes["RssFile"]) if len(sizes) == len(_SIZES) else None


_SIZES = ("RssAnon", "RssFile")


def _name(pid: int) -> str:
    return _read(_PROC / str(pid) / "comm").strip()


def _read(file: Path) -> str:
    """Return the text of a file of /proc; none where the process has ended, or is not ours to look into."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
