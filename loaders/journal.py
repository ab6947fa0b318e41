"""The journal of a collection's loading, in SQLite: what the engine has acknowledged, whoever dies afterwards.

It holds ids, hashes and counts, and no text of a patient. Every method may be called from any thread.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

from cohorts.errors import InputError
from cohorts.loaders.chunks import Chunk

_VERSION = 1
_TABLES = """
create table runs(number integer primary key, started text not null, identity text not null, state text not null);
create table batches(
    run integer not null, number integer not null, first_id text not null, last_id text not null,
    units integer not null, digest blob not null, state text not null, primary key(run, number)
);
create table units(
    id text primary key, content blob not null, trace blob, run integer not null
) without rowid;
create table rejected(id text, stage text, reason text not null, primary key(id, stage)) without rowid;
create table target(name text not null, whole integer not null, alone integer not null, old text not null);
"""
_MANY = 500  # rows in one statement: every statement lets go of the interpreter, and must wait to get it back

Identity = Mapping[str, str]
"""What a run is about: its source, encoder, store, collection, … by name; two runs are the same where it is."""


class Target(NamedTuple):
    """The collection written to: whether its making ended, whether only this journal writes to it, what it replaces."""

    name: str
    whole: bool = True
    alone: bool = True
    old: str = ""


@dataclass(frozen=True)
class LastRun:
    """What the journal knows of the run before."""

    identity: Identity
    state: str

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Return where the run wrote to."""
        return place_of(self.identity)

    def check_same(self, identity: Identity) -> None:
        """Raise InputError, which says what differs, where the run was about something else."""
        differing = [
            f"{name} was {self.identity.get(name, 'none')} and is now {identity.get(name, 'none')}"
            for name in {**self.identity, **identity}
            if self.identity.get(name) != identity.get(name)
        ]
        if differing:
            raise InputError(
                f"The run can't be resumed, for it is another one: {'; '.join(differing)}. Give what the run before "
                "was given, or leave --resume out to load everything anew."
            )


def place_of(identity: Identity) -> tuple[str | None, str | None]:
    """Return the store and the collection that a run is about."""
    return identity.get("store"), identity.get("collection")


def put_rows(db: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert many rows by few statements."""
    for start in range(0, len(rows), _MANY):
        some = rows[start : start + _MANY]
        marks = ",".join([f"({','.join('?' * len(some[0]))})"] * len(some))
        db.execute(f"{into} values {marks}", list(chain.from_iterable(some)))


class Journal:
    """One file; the run that `begin` begins writes to it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._run = self._number = 0
        with self._telling():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            file.chmod(0o600)
            self._make_tables()

    def last_run(self) -> LastRun | None:
        """Return the run before, or None."""
        rows = self._ask("select identity, state from runs order by number desc limit 1")
        return LastRun(json.loads(rows[0][0]), rows[0][1]) if rows else None

    def begin(self, identity: Identity, *, resume: bool) -> None:
        """Begin a run, or go on with the one before. Raises InputError where that was about something else."""
        last = self.last_run()
        if resume and last is not None:
            last.check_same(identity)
        else:
            if last is not None and last.place != place_of(identity):
                self._empty()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            text = json.dumps(dict(identity), ensure_ascii=False)
            self._do("insert into runs(started, identity, state) values (?, ?, 'running')", [(now, text)])
        self._do("delete from rejected where stage = 'read'", [()])  # it is read, and refused, again
        self._run = int(self._ask("select max(number) from runs")[0][0])
        self._number = int(self._ask("select count(*) from batches where run = ?", self._run)[0][0])

    def _empty(self) -> None:
        """Forget all of another collection, whose runs had the same folder."""
        with self._transaction() as db:
            for table in ("units", "rejected", "target"):
                db.execute(f"delete from {table}")  # noqa: S608 - names of ours

    def end(self) -> None:
        """Note that the run came to its end."""
        self._do("update runs set state = 'done' where number = ?", [(self._run,)])

    @property
    def run(self) -> int:
        """Return the number of the run, which is its id in this journal."""
        return self._run

    @property
    def target(self) -> Target | None:
        """Return the collection that the units of this journal are in."""
        rows = self._ask("select name, whole, alone, old from target")
        return Target(rows[0][0], bool(rows[0][1]), bool(rows[0][2]), rows[0][3]) if rows else None

    def aim(self, target: Target, *, afresh: bool) -> None:
        """Note the collection to be written to; `afresh` forgets the units, which were in another one."""
        with self._transaction() as db:
            if afresh:
                db.execute("delete from units")
                db.execute("delete from rejected where stage = 'write'")
            db.execute("delete from target")
            db.execute("insert into target values (?, ?, ?, ?)", target)

    def sending(self, chunk: Chunk) -> int:
        """Note a batch that is about to be sent; return its number."""
        with self._transaction() as db:
            self._number += 1
            row = (self._run, self._number, chunk.ids[0], chunk.ids[-1], len(chunk), chunk.digest)
            db.execute("insert into batches values (?, ?, ?, ?, ?, ?, 'sent')", row)
            return self._number

    def acknowledged(
        self, number: int, chunk: Chunk, traces: Mapping[str, bytes], rejected: Mapping[str, str]
    ) -> None:
        """Note that the engine has the batch: `traces` are of what was written, `rejected` why a unit was not."""
        rows = [
            (key, content, traces.get(key), self._run)
            for key, content in zip(chunk.ids, chunk.contents, strict=True)
        ]
        with self._transaction() as db:
            put_rows(db, "insert or replace into units", rows)
            if db.execute("select 1 from rejected where stage = 'write' limit 1").fetchone():
                db.executemany(
                    "delete from rejected where id = ? and stage = 'write'", [(key,) for key in chunk.ids]
                )
            db.executemany("insert into rejected values (?, 'write', ?)", rejected.items())
            db.execute(
                "update batches set state = 'acknowledged' where run = ? and number = ?", (self._run, number)
            )

    def refuse(self, key: str, reason: str) -> None:
        """Note something that the source holds and that can't be a unit."""
        self._do("insert or replace into rejected values (?, 'read', ?)", [(key, reason)])

    def unchanged(self, chunk: Chunk, *, of_this_run: bool) -> set[str]:
        """Return the units that the engine has already as they are, from any run or from this one alone."""
        had = {
            key: content
            for key, content, run in self._of(chunk.ids, "id, content, run")
            if not of_this_run or run == self._run
        }
        return {
            key for key, content in zip(chunk.ids, chunk.contents, strict=True) if had.get(key) == content
        }

    def saw(self, ids: Sequence[str]) -> None:
        """Note, for as long as the journal is open, that these units are there still."""
        with self._transaction() as db:
            put_rows(db, "insert or ignore into temp.seen", [(key,) for key in ids])

    def see_none(self) -> None:
        """Forget what `saw` was told."""
        with self._transaction() as db:
            db.execute("delete from temp.seen")

    def unseen(self) -> list[str]:
        """Return the units that stand in the collection and that `saw` was not told of."""
        rows = self._ask(
            "select id from units where trace is not null and id not in (select id from temp.seen) order by id"
        )
        return [row[0] for row in rows]

    def written(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the traces of those among the units that stand in the collection."""
        return {key: trace for key, trace in self._of(ids, "id, trace") if trace is not None}

    def forget(self, ids: Sequence[str]) -> None:
        """Drop units, which stand in the collection no more."""
        with self._transaction() as db:
            db.executemany("delete from units where id = ?", [(key,) for key in ids])

    def count(self) -> int:
        """Return how many units stand in the collection."""
        return int(self._ask("select count(*) from units where trace is not null")[0][0])

    def sample(self, many: int) -> list[str]:
        """Return the ids of some of the units that stand in the collection, drawn at random."""
        rows = self._ask("select id from units where trace is not null order by random() limit ?", many)
        return [row[0] for row in rows]

    def rejections(self) -> list[tuple[str, str]]:
        """Return id and reason of every unit that could not be written."""
        return self._ask("select id, reason from rejected order by id")

    def batches(self) -> list[tuple[int, str, str, int, str]]:
        """Return number, first id, last id, units and state of every batch of the last run."""
        return self._ask(
            "select number, first_id, last_id, units, state from batches "
            "where run = (select max(number) from runs) order by number"
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_tables(self) -> None:
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"begin; {_TABLES} pragma user_version = {_VERSION}; commit;")
        elif version != _VERSION:
            raise InputError(
                f"The journal {self.file} is of version {version}; this cohorts knows version {_VERSION}. Use the "
                "cohorts that wrote it, or move it away and load anew."
            )
        self._db.execute("pragma synchronous = normal")
        self._db.execute("create temp table seen(id text primary key) without rowid")

    def _of(self, ids: Sequence[str], columns: str) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), _MANY):
            some = ids[start : start + _MANY]
            marks = ",".join("?" * len(some))
            yield from self._ask(f"select {columns} from units where id in ({marks})", *some)  # noqa: S608

    def _ask(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._telling(), self._lock:
            return self._db.execute(text, parameters).fetchall()

    def _do(self, text: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._transaction() as db:
            db.executemany(text, rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._telling(), self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"The journal {self.file} can't be used: {error}. Nothing that was acknowledged is lost: mend this, "
                "then run the same command with --resume."
            ) from error
