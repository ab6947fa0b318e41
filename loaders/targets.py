"""Which collection a run writes to: the one that is there, or a new version, made once whoever dies in between."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.checks import check_name
from cohorts.errors import CollectionExists, InputError
from cohorts.loaders.journal.digests import traces_of
from cohorts.loaders.journal.journal import Identity, Journal, LastRun, Target
from cohorts.loaders.lease import Lease
from cohorts.loaders.points.payload import PATIENT_ID
from cohorts.loaders.versions import (
    IndexRequest,
    follow,
    is_there,
    next_version,
    refuse_version,
    standing,
    sweep,
    switch,
)
from cohorts.records.shards import Shard

SHARD_PATIENCE_S = 600.0
_LOOK_S = 1.0


@dataclass(frozen=True)
class LoadRequest:
    """The collection asked for, and how it comes about.

    `replace` writes a new version beside the collection, which takes its name when it is whole. `resume` goes on with
    the run before. `update` sends only what has changed since any run; `remove_vanished` removes what the source has no
    more. Of a `shard`, the first makes the collection for all. `index_fields` are the payload fields of records that
    get an index; None leaves those of a collection that is there as they are, and gives a new one an index of each.
    """

    name: str
    wanted: IndexRequest = IndexRequest()
    replace: bool = False
    resume: bool = False
    update: bool = False
    remove_vanished: bool = False
    shard: Shard | None = None
    index_fields: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.replace and (self.update or self.shard):
            raise InputError(
                "A new version is written whole: to replace one goes with no update and no shard.",
                remedy="Load the shards into another collection instead.",
                hint="replace_whole",
            )
        if self.remove_vanished and not self.update:
            raise InputError(
                "Patients that the source lost are removed by an update alone.",
                remedy="Ask for an update, or remove none.",
                hint="remove_vanished",
            )

    @property
    def mode(self) -> str:
        """Return what kind of run this is, in a word."""
        return "replace" if self.replace else "update" if self.update else "load"

    def refuse_other(self, there: Collection) -> None:
        """Raise InputError where a collection stands with another index, or indexes of other fields, than asked for."""
        self.wanted.refuse_other(there)
        asked, has = self.index_fields, there.indexed
        if asked is None or {*asked, PATIENT_ID} == {*has, PATIENT_ID}:
            return
        if there.attached:
            raise InputError(
                f"Collection {self.name} belongs to others: its owner indexes its fields.",
                remedy="Ask for none.",
                hint="no_index_fields",
            )
        raise InputError(
            f"The collection has indexes of {_shown(has)}; {_shown(asked)} was asked.",
            remedy="Ask for these, or replace the collection.",
            hint="index_fields_or_replace",
        )


def _shown(fields: Iterable[str]) -> str:
    return ", ".join(one for one in fields if one != PATIENT_ID) or "no field"


@dataclass(frozen=True)
class Plan:
    """How to make the collection: asked only where it must be made."""

    collection: Callable[[], Collection]
    sample: Callable[[], Vectors]


@dataclass(frozen=True)
class Destination:
    """The collection that a run of the goal writes to, held by its lease and known from its journal."""

    connector: Connector
    goal: LoadRequest
    journal: Journal
    lease: Lease

    def reserve(self) -> None:
        """Refuse what can be refused before a run's work, and hold the collection where it is there already.

        Raises InputError, UnsupportedIndex.
        """
        refuse_version(self.connector, self.goal.name)
        if self.goal.replace or not is_there(self.connector, self.goal.name):
            self.goal.wanted.check_possible(self.connector)
        if not is_there(self.connector, self.goal.name):
            return
        there = self.connector.describe(self.goal.name).collection
        if self.goal.replace and there.attached:
            raise InputError(f"Collection {self.goal.name} belongs to others: to replace it would drop it.")
        if not self.goal.replace:
            self.goal.refuse_other(there)
        self.lease.take(there.name)

    def find(self, identity: Identity, check_fits: Callable[[Collection], None]) -> Target | None:
        """Return the version to write to where it is there, and the run may; None where it is to be made.

        Nothing is noted: a run that is refused is none. Raises InputError, FingerprintMismatch.
        """
        last = self.journal.to_go_on_with(identity, resume=self.goal.resume)
        target = self._resumed(last) or self._standing(last)
        if target is None:
            return None
        check_fits(self.connector.describe(target.name).collection)
        if self.goal.update:
            self._check_updates(target, identity)
        return target

    def begin(self, found: Target | None) -> None:
        """Note the version that was found and what is in it, and sweep what runs that died left behind."""
        if found is not None:
            self.journal.aim(found)
            for ids in self.journal.in_doubt():
                points = self.connector.fetch(found.name, ids)
                self.journal.settle(ids, dict(zip(points.ids, traces_of(points), strict=True)))
            self.journal.settled()
        if is_there(self.connector, self.goal.name):
            follow(self.connector, self.journal, standing(self.connector, self.goal.name))
        sweep(self.connector, self.goal.name, self.journal, keep=found.name if found else "")

    def make(self, plan: Plan) -> Target:
        """Make the version to write to, and note it first: what is left of it, should we die, is swept by the next run.

        Raises InputError where another run makes the collection at the same moment.
        """
        target = Target(next_version(self.connector, self.goal.name), whole=False)
        made = replace(plan.collection(), name=target.name)
        settled = self.goal.wanted.settle(self.connector, made, plan.sample)
        self.journal.drop(target.name)
        self.journal.aim(target)
        try:
            self.connector.create(settled)
        except CollectionExists as error:
            self.journal.drop(target.name)  # it is the other run's
            raise self._made_by_another() from error
        try:
            self.lease.take(target.name)
        except InputError:
            self.journal.drop(target.name)  # likewise: some engines make what is there once more
            raise
        if not is_there(self.connector, self.goal.name):
            self.connector.alias(self.goal.name, target.name)
        elif not self.goal.replace:
            self.connector.drop(target.name)
            self.journal.drop(target.name)
            raise self._made_by_another()
        whole = target._replace(whole=True)
        self.journal.aim(whole)
        return whole

    def check_stands(self, target: Target) -> None:
        """Raise InputError where the collection's name stands for another version than the one written to."""
        if standing(self.connector, self.goal.name) != target.name:
            raise self._made_by_another()

    def _made_by_another(self) -> InputError:
        return InputError(
            f"Another run made {self.goal.name} at the same moment. Wait until it has ended, then run this again."
        )

    def wait_for_first_shard(self) -> None:
        """Block until the first shard has made the collection. Raises InputError after ten minutes."""
        until = time.monotonic() + SHARD_PATIENCE_S
        while not is_there(self.connector, self.goal.name):
            if time.monotonic() > until:
                raise InputError(
                    f"Shard 1 of {self.goal.name} has not made the collection within {SHARD_PATIENCE_S:.0f} s.",
                    remedy="Start it, then resume this one.",
                    hint="start_first_shard",
                )
            time.sleep(_LOOK_S)

    def take_over(self, target: Target) -> None:
        """Let the new version take the collection's name, and drop the one that it replaces."""
        self.lease.check()
        switch(self.connector, self.goal.name, target.name)
        sweep(self.connector, self.goal.name, self.journal, keep=target.name)

    def _resumed(self, last: LastRun | None) -> Target | None:
        """Return the version that the run which is resumed has made already."""
        target = self.journal.know(last.target) if last is not None else None
        if target is None:
            return None
        named = self.connector.aliases().get(self.goal.name) == target.name
        if target.name in self.connector.collections() and (target.whole or named):
            return target._replace(whole=True)
        self.journal.look_at(target.name)
        if self.journal.count():
            raise InputError(
                f"{target.name}, which the run before wrote to, is not there any more.",
                remedy="Load anew, without resuming.",
                hint="load_anew",
            )
        return None

    def _standing(self, last: LastRun | None) -> Target | None:
        """Return the version that the collection's name stands for; None where it is to be made."""
        if self.goal.update:
            self.connector.describe(self.goal.name)  # which says what there is instead
        if self.goal.replace or not is_there(self.connector, self.goal.name):
            return None
        name = standing(self.connector, self.goal.name)
        target = self.journal.know(name)
        if target is None and (self.goal.update or (self.goal.resume and last is None)):
            self._refuse_unknown()
        return target._replace(whole=True) if target else Target(name, alone=False)

    def _refuse_unknown(self) -> None:
        """Raise InputError where units would be skipped by a journal that knows nothing of what is there."""
        held = self.connector.count(self.goal.name)
        # A shard's journal knows its own part alone.
        if self.goal.update or (held and self.goal.shard is None):
            raise InputError(
                f"{self.journal.file} does not know what is in {self.goal.name}, which holds {held:,} vectors: it is "
                "empty, or of other runs.",
                remedy="Send everything anew, or name the run folder of its loads.",
                hint="update_unknown" if self.goal.update else "resume_unknown",
            )

    def _check_updates(self, target: Target, identity: Identity) -> None:
        """Raise InputError where what was sent before, and would be left out as unchanged, is another encoder's."""
        before = self.journal.last_run(target.copy_of or target.name)
        if before is not None and before.identity.get("encoder") != identity.get("encoder"):
            raise InputError(
                f"The run before wrote to {target.name} by encoder {before.identity.get('encoder')}; this one would by "
                f"{identity.get('encoder')}, and leave out what has not changed.",
                remedy="Send everything, without an update.",
                hint="no_update",
            )
