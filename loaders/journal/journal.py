"""The journal of a collection's loading, in SQLite: what the engine has acknowledged, whoever dies afterwards.

It knows what is in every version of the collection that its runs wrote: while a new one is written, what stands in the
old one is not forgotten. It holds ids, hashes and counts, and no text of a patient. Every method may be called from
any thread.
"""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

from cohorts.connectors.checks import check_name
from cohorts.documents import parse_json
from cohorts.errors import InputError
from cohorts.loaders.journal.chunks import Chunk
from cohorts.loaders.journal.digests import TRACE_BYTES
from cohorts.private_files import private_folder, touch_private

_VERSION = 2
_TABLES = """
create table self(id text not null);
insert into self values (lower(hex(randomblob(8))));
create table runs(
    number integer primary key, started text not null, identity text not null, state text not null,
    target integer
);
create table batches(
    run integer not null, number integer not null, first_id text not null, last_id text not null,
    units integer not null, digest blob not null, state text not null, ids text, primary key(run, number)
);
create table targets(
    number integer primary key autoincrement, name text not null unique, whole integer not null, alone integer not null,
    copy_of text not null
);
create table units(
    target integer not null, id text not null, content blob not null, trace blob, run integer not null,
    primary key(target, id)
) without rowid;
create table rejected(
    target integer not null, id text, stage text, reason text not null, primary key(target, id, stage)
) without rowid;
"""
_ANEW = "Move it away and load anew, or restore it from a backup."
_MANY = 500  # rows in one statement: every statement lets go of the interpreter, and must wait to get it back

Identity = Mapping[str, str]
"""What a run is about: its source, encoder, store, collection, … by name; two runs are the same where it is."""


class Target(NamedTuple):
    """One version of a collection: whether its making ended, and whether only this journal's runs write to it.

    A `copy_of` another version holds what that one does as soon as it has taken its name.
    """

    name: str
    whole: bool = True
    alone: bool = True
    copy_of: str = ""


@dataclass(frozen=True)
class LastRun:
    """What the journal knows of the run before."""

    identity: Identity
    ended: bool
    target: str

    def check_same(self, identity: Identity) -> None:
        """Raise InputError, which says what differs, where the run was about something else."""
        differing = [
            f"{name} was {self.identity.get(name, 'none')} and is now {identity.get(name, 'none')}"
            for name in {**self.identity, **identity}
            if self.identity.get(name) != identity.get(name)
        ]
        if differing and self.ended:
            raise InputError(
                f"There is nothing to resume: the run before has ended, and was another one: {'; '.join(differing)}.",
                remedy="Begin this one without resuming.",
                hint="begin_anew",
            )
        if differing:
            raise InputError(
                f"The run can't be resumed, for it is another one: {'; '.join(differing)}.",
                remedy="Give what the run before was given, or load everything anew without resuming.",
                hint="same_run_or_anew",
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
    """One file; the run that `begin` begins writes to it, of the version that `aim` names.

    Before that, what is asked of units is of the version that the last run wrote to.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._run = self._number = self._target = 0
        with self._telling():
            private_folder(file.parent)
            self._db = sqlite3.connect(touch_private(file), check_same_thread=False, isolation_level=None)
            self._check_tables()
        last = self.last_run()
        self.look_at(last.target if last else "")

    @property
    def id(self) -> str:
        """Return what tells this journal from all others."""
        rows = self._ask("select id from self")
        if len(rows) != 1 or not re.fullmatch(r"[0-9a-f]{16}", str(rows[0][0])):
            raise InputError(f"{self._name} is damaged: it has no id of its own. {_ANEW}")
        return str(rows[0][0])

    def last_run(self, of: str = "") -> LastRun | None:
        """Return the run before, of those that wrote to this version where one is named, or None."""
        rows = self._ask(
            "select identity, state, coalesce(name, '') from runs left join targets on target = targets.number "
            "where ? in ('', name) order by runs.number desc limit 1",
            of,
        )
        if not rows:
            return None
        identity = parse_json(rows[0][0], dict[str, str], self._name, remedy=_ANEW)
        return LastRun(identity, rows[0][1] == "done", self._version(rows[0][2]))

    def to_go_on_with(self, identity: Identity, *, resume: bool) -> LastRun | None:
        """Return the run before where it is to be resumed; None where this one begins anew.

        Raises InputError where that run was about something else, or the runs of this journal wrote somewhere else.
        """
        last = self.last_run()
        if resume and last is not None:
            last.check_same(identity)
            return last
        if last is not None and place_of(last.identity) != place_of(identity):
            store, collection = place_of(last.identity)
            raise InputError(
                f"The journal {self.file} is of collection {collection} of {store}.",
                remedy="Name another run folder, or move this one away.",
                hint="another_run_dir_or_move",
            )
        return None

    def begin(self, identity: Identity, *, resume: bool) -> None:
        """Begin a run, or go on with the one before. Raises InputError as `to_go_on_with` does."""
        if self.to_go_on_with(identity, resume=resume) is None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = (now, json.dumps(dict(identity), ensure_ascii=False))
            self._do("insert into runs(started, identity, state) values (?, ?, 'running')", [row])
        self._do("delete from rejected where stage = 'read'", [()])  # it is read, and refused, again
        self.look_at("")
        self._run = int(self._ask("select max(number) from runs")[0][0])
        self._number = int(self._ask("select count(*) from batches where run = ?", self._run)[0][0])

    def end(self) -> None:
        """Note that the run came to its end."""
        self._do("update runs set state = 'done' where number = ?", [(self._run,)])

    @property
    def run(self) -> int:
        """Return the number of the run, which is its id in this journal."""
        return self._run

    def targets(self) -> list[Target]:
        """Return every version that the runs of this journal wrote to."""
        rows = self._ask("select name, whole, alone, copy_of from targets order by number")
        return [
            Target(self._version(name), bool(whole), bool(alone), self._version(copy_of))
            for name, whole, alone, copy_of in rows
        ]

    def know(self, name: str) -> Target | None:
        """Return the version of this name, where a run of this journal wrote to it."""
        return next((one for one in self.targets() if one.name == name), None)

    def note(self, target: Target) -> None:
        """Keep what is known of a version, which may be new; its units stay."""
        self._do(
            "insert into targets(name, whole, alone, copy_of) values (?, ?, ?, ?) on conflict(name) do update set "
            "whole = excluded.whole, alone = excluded.alone, copy_of = excluded.copy_of",
            [target],
        )

    def aim(self, target: Target) -> None:
        """Note the version that the run writes to: all that is told and asked of units is of this one from now on."""
        self.note(target)
        self.look_at(target.name)
        self._do("update runs set target = ? where number = ?", [(self._target, self._run)])

    def look_at(self, name: str) -> None:
        """Let what is asked of units be of this version, without writing to it; a copy holds what the first one did."""
        rows = self._ask(
            "select number from targets where name = ? or name = (select copy_of from targets where name = ?) "
            "order by number limit 1",
            name,
            name,
        )
        self._target = int(rows[0][0]) if rows else 0

    def drop(self, name: str) -> None:
        """Forget a version, which is there no more."""
        with self._transaction() as db:
            for table in ("units", "rejected"):
                db.execute(
                    f"delete from {table} where target = (select number from targets where name = ?)",  # noqa: S608
                    (name,),
                )
            db.execute("delete from targets where name = ?", (name,))

    def follow(self, copy: str) -> None:
        """Take what is in the version that was copied for what is in its copy, which has taken its place."""
        with self._transaction() as db:
            (old,) = db.execute("select copy_of from targets where name = ?", (copy,)).fetchone()
            db.execute("delete from targets where name = ?", (copy,))
            db.execute("update targets set name = ? where name = ?", (copy, old))

    def sending(self, chunk: Chunk) -> int:
        """Note a batch that is about to be sent; return its number."""
        return self._send(chunk.ids, chunk.digest)

    def _send(self, ids: Sequence[str], digest: bytes) -> int:
        with self._transaction() as db:
            self._number += 1
            row = (self._run, self._number, ids[0], ids[-1], len(ids), digest, json.dumps(list(ids)))
            db.execute("insert into batches values (?, ?, ?, ?, ?, ?, 'sent', ?)", row)
            return self._number

    def in_doubt(self) -> list[list[str]]:
        """Return the units of every batch of the version that was sent, and never acknowledged."""
        rows = self._ask(
            "select ids from batches join runs on run = runs.number where batches.state = 'sent' and ids is not null "
            "and target = ?",
            self._target,
        )
        return [parse_json(row[0], list[str], self._name, remedy=_ANEW) for row in rows]

    def settle(self, ids: Sequence[str], traces: Mapping[str, bytes]) -> None:
        """Note what the engine has of units that were in doubt: their traces, by id; the others are not there.

        From which state of a record they were made is not known: an update sends them again.
        """
        found = [(self._target, key, b"", trace, 0) for key, trace in traces.items()]
        with self._transaction() as db:
            self._delete(db, ids)
            put_rows(db, "insert into units", found)

    def settled(self) -> None:
        """Note that nothing of the version is in doubt any more."""
        self._do(
            "update batches set state = 'settled', ids = null where state = 'sent' and run in "
            "(select number from runs where target = ?)",
            [(self._target,)],
        )

    def acknowledged(
        self, number: int, chunk: Chunk, traces: Mapping[str, bytes], rejected: Mapping[str, str]
    ) -> None:
        """Note that the engine has the batch: `traces` are of what was written, `rejected` why a unit was not."""
        rows = [
            (self._target, key, content, traces.get(key), self._run)
            for key, content in zip(chunk.ids, chunk.contents, strict=True)
        ]
        left = [row for row in rows if row[1] in rejected]
        with self._transaction() as db:
            put_rows(db, "insert or replace into units", [row for row in rows if row[1] not in rejected])
            put_rows(db, "insert or ignore into units", left)  # what stands there of them stays as it is
            if db.execute("select 1 from rejected where stage = 'write' limit 1").fetchone():
                db.executemany(
                    "delete from rejected where target = ? and id = ? and stage = 'write'",
                    [(self._target, key) for key in chunk.ids],
                )
            db.executemany(
                "insert into rejected values (?, ?, 'write', ?)",
                [(self._target, key, reason) for key, reason in rejected.items()],
            )
            self._acknowledge(db, number)

    def refuse(self, key: str, reason: str) -> None:
        """Note something that the source holds and that can't be a unit."""
        self._do("insert or replace into rejected values (0, ?, 'read', ?)", [(key, reason)])

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
            "select id from units where target = ? and trace is not null and id not in (select id from temp.seen) "
            "order by id",
            self._target,
        )
        return [self._id(row[0]) for row in rows]

    def written(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the traces of those among the units that stand in the collection."""
        found = {key: trace for key, trace in self._of(ids, "id, trace") if trace is not None}
        if any(type(trace) is not bytes or len(trace) != TRACE_BYTES for trace in found.values()):
            raise InputError(f"{self._name} is damaged: a trace is none. {_ANEW}")
        return found

    @contextmanager
    def removing(self, ids: Sequence[str]) -> Iterator[None]:
        """Drop units, which the engine removes within the context; should it be left early, they are in doubt."""
        number = self._send(ids, b"")
        yield
        with self._transaction() as db:
            self._delete(db, ids)
            self._acknowledge(db, number)

    def _delete(self, db: sqlite3.Connection, ids: Sequence[str]) -> None:
        rows = [(self._target, key) for key in ids]
        db.executemany("delete from units where target = ? and id = ?", rows)

    def _acknowledge(self, db: sqlite3.Connection, number: int) -> None:
        """Note that a batch is in doubt no more."""
        row = (self._run, number)
        db.execute("update batches set state = 'acknowledged', ids = null where run = ? and number = ?", row)

    def erase(self, ids: Sequence[str]) -> int:
        """Forget all of units, in every version and every run, to the last byte; return how many notes there were."""
        many = [(key,) for key in ids]
        with self._transaction() as db:
            before = db.total_changes
            db.executemany("delete from units where id = ?", many)
            db.executemany("delete from rejected where id = ?", many)
            erased = db.total_changes - before
            for column in ("first_id", "last_id"):
                db.executemany(f"update batches set {column} = '' where {column} = ?", many)  # noqa: S608
            for run, number, sent in db.execute("select run, number, ids from batches where ids is not null"):
                kept = parse_json(sent, list[str], self._name, remedy=_ANEW)
                left = [key for key in kept if key not in ids]
                row = (json.dumps(left), run, number)
                db.execute("update batches set ids = ? where run = ? and number = ?", row)
        self._ask("vacuum")  # what is deleted stays in the file until its place is needed
        return erased

    def count(self) -> int:
        """Return how many units stand in the collection."""
        rows = self._ask("select count(*) from units where target = ? and trace is not null", self._target)
        return int(rows[0][0])

    def sample(self, many: int) -> list[str]:
        """Return the ids of some of the units that stand in the collection, drawn at random."""
        rows = self._ask(
            "select id from units where target = ? and trace is not null order by random() limit ?",
            self._target,
            many,
        )
        return [self._id(row[0]) for row in rows]

    def rejections(self) -> list[tuple[str, str]]:
        """Return id and reason of every unit that could not be written."""
        return self._ask("select id, reason from rejected where target in (0, ?) order by id", self._target)

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

    @property
    def _name(self) -> str:
        return f"The journal {self.file}"

    def _version(self, name: Any) -> str:
        """Return the name of a version, '' for none. Raises InputError where it is no name: versions are dropped."""
        if name != "":
            try:
                check_name(name)
            except InputError as error:
                raise InputError(f"{self._name} is damaged: {error} {_ANEW}") from error
        return str(name)

    def _id(self, value: Any) -> str:
        if type(value) is not str:
            raise InputError(f"{self._name} is damaged: an id is no text. {_ANEW}")
        return value

    def _check_tables(self) -> None:
        if self._read_version() == 0:
            self._make_tables()
        if (version := self._read_version()) != _VERSION:
            raise InputError(
                f"The journal {self.file} is of version {version}; this cohorts knows version {_VERSION}.",
                remedy="Use the cohorts that wrote it, or move it away and replace the collection.",
                hint="old_journal",
            )
        self._db.execute("pragma synchronous = normal")
        self._db.execute("create temp table seen(id text primary key) without rowid")

    def _make_tables(self) -> None:
        with self._transaction() as db:
            if self._read_version() != 0:  # another process opened the new file too, and was first
                return
            for statement in (*_TABLES.split(";"), f"pragma user_version = {_VERSION}"):
                db.execute(statement)

    def _read_version(self) -> int:
        return int(self._db.execute("pragma user_version").fetchone()[0])

    def _of(self, ids: Sequence[str], columns: str) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), _MANY):
            some = ids[start : start + _MANY]
            marks = ",".join("?" * len(some))
            yield from self._ask(
                f"select {columns} from units where target = ? and id in ({marks})",  # noqa: S608
                self._target,
                *some,
            )

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
                f"The journal {self.file} can't be used: {error}. Nothing that was acknowledged is lost.",
                remedy="Mend this, then resume the run.",
                hint="mend_and_resume",
            ) from error
