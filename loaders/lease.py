"""One run at a time on a collection of a server, from whatever machine and by whatever spelling of its address.

The lock of `lock.py` is of one machine. Here every run writes a lease into the collection itself, under a key of its
own: a counter that it raises. A run that comes later and sees a counter rise is refused; one that stands still is of a
run that died. No clock of another machine is read. Where two runs write theirs at the same moment, both see both, and
the one of the smaller id stays.
"""

import hashlib
import os
import platform
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cohorts.connectors.base import Connector
from cohorts.errors import CohortsError, InputError
from cohorts.records.shards import Shard

BEAT_S = 2.0
DEAD_S = 15.0  # without a beat
SETTLE_S = 0.3  # until a lease that another run wrote at the same moment shows
_POLL_S = 1.0
_WHOLE = "whole"  # of a run that is no shard: it shares the collection with nobody


class Lease:
    """The right of one run to write to a collection, from `take` to `close`; of shards, each has its own.

    `owner` is of a journal and a machine: whoever holds the journal's lock knows that no other run of its can be alive,
    and goes on at once after a crash. Engines whose store one process alone can open need no lease.
    """

    def __init__(self, connector: Connector, journal_id: str, shard: Shard | None) -> None:
        self._connector, self._part = connector, str(shard or _WHOLE)
        self._owner = f"{journal_id}-{_machine()}"
        self._name = ""
        self._beats = 0
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: CohortsError | None = None

    def take(self, name: str) -> None:
        """Take the lease of a collection. Raises InputError where a run that is alive holds it."""
        if self._name or not self._connector.abilities.leases:
            return
        before = self._rivals(name)
        if before:
            self._wait_for_death(name, before)
        self._connector.set_lease(name, self._owner, f"{self._part} {self._beats}")
        self._name = name
        time.sleep(SETTLE_S)
        try:
            self.check()
        except CohortsError:
            self._give_back()
            raise
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise InputError where the lease is lost: before every batch, so that no two runs mix theirs."""
        if not self._name:
            return
        if self._failure is not None:
            raise self._failure
        held = self._connector.leases(self._name)
        if self._owner not in held:
            raise InputError(
                f"This run lost its lease of collection {self._name}: it gave no sign for {DEAD_S:.0f} s, and another "
                "run went on. What it wrote is not lost. Wait until the other one has ended."
            )
        if any(rival < self._owner for rival in self._conflicting(held)):
            raise _is_written_to(self._name)

    def close(self) -> None:
        """Give the lease back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._name:
            self._give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _give_back(self) -> None:
        name, self._name = self._name, ""
        if name in self._connector.collections():  # a version that was replaced took its leases along
            self._connector.set_lease(name, self._owner, "")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            self._beats += 1
            try:
                if self._owner in self._connector.leases(self._name):
                    self._connector.set_lease(self._name, self._owner, f"{self._part} {self._beats}")
            except CohortsError as error:
                self._failure = error
                return

    def _rivals(self, name: str) -> dict[str, str]:
        return self._conflicting(self._connector.leases(name))

    def _conflicting(self, held: Mapping[str, str]) -> dict[str, str]:
        """Return the leases of others that this one can't stand beside."""
        return {
            owner: lease
            for owner, lease in held.items()
            if owner != self._owner
            and (self._part == _WHOLE or lease.partition(" ")[0] in (_WHOLE, self._part))
        }

    def _wait_for_death(self, name: str, before: Mapping[str, str]) -> None:
        """Remove the leases of dead runs. Raises InputError as soon as one shows that it is alive."""
        until = time.monotonic() + DEAD_S
        while time.monotonic() < until:
            time.sleep(_POLL_S)
            now = self._rivals(name)
            if any(before.get(owner) != lease for owner, lease in now.items()):
                raise _is_written_to(name)
            if not now:
                return
        for owner in before:
            self._connector.set_lease(name, owner, "")


def _is_written_to(name: str) -> InputError:
    return InputError(
        f"Another run is writing to collection {name}, maybe from another machine. Wait until it has ended, or stop "
        "it; what it wrote is not lost."
    )


def _machine() -> str:
    """Return what tells this machine, since it was started, from others."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text(encoding="ascii") if boot.exists() else ""
    return hashlib.sha256(f"{platform.node()} {started} {os.getuid()}".encode()).hexdigest()[:8]
