"""Which collection a run writes to: the one that is there, or a new version, made once whoever dies in between."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.errors import InputError
from cohorts.loaders.journal import Journal, Target
from cohorts.loaders.run_dirs import default_run_dir, journal_files
from cohorts.loaders.versions import Wanted, next_version, switch
from cohorts.records.shards import Shard

SHARD_PATIENCE_S = 600.0
_LOOK_S = 1.0


@dataclass(frozen=True)
class Goal:
    """The collection asked for, and how it comes about.

    `replace` writes a new version beside the collection, which takes its name when it is whole. `resume` goes on with
    the run before. `update` sends only what has changed since any run; `remove_vanished` removes what the source has no
    more. Of a `shard`, the first makes the collection for all.
    """

    name: str
    wanted: Wanted = Wanted()
    replace: bool = False
    resume: bool = False
    update: bool = False
    remove_vanished: bool = False
    shard: Shard | None = None

    def __post_init__(self) -> None:
        if self.replace and (self.update or self.shard):
            raise InputError(
                "--replace writes a new version whole: it can't go with --update or --shard. Load the shards into "
                "another --collection instead."
            )
        if self.remove_vanished and not self.update:
            raise InputError("--remove-vanished belongs to --update: add it, or leave this out.")

    @property
    def mode(self) -> str:
        """Return what kind of run this is, in a word."""
        return "replace" if self.replace else "update" if self.update else "load"


@dataclass(frozen=True)
class Plan:
    """How to make the collection: asked only where it must be made."""

    collection: Callable[[], Collection]
    check_fits: Callable[[Collection], None]
    sample: Callable[[], Vectors]


def is_made(connector: Connector, goal: Goal, journal: Journal) -> bool:
    """Tell whether the run that is resumed has made its collection already."""
    target = journal.target
    if not (goal.resume and target and target.name in connector.collections()):
        return False
    return target.whole or connector.aliases().get(goal.name) == target.name


def check_known(connector: Connector, goal: Goal, journal: Journal) -> None:
    """Raise InputError where the journal, by which units are skipped, is not of the collection that is there now."""
    target = journal.target
    if goal.update and (target is None or connector.aliases().get(goal.name, goal.name) != target.name):
        connector.describe(goal.name)
        raise InputError(
            f"{journal.file} does not know what is in {goal.name}: it is of {target.name if target else 'nothing'}. "
            "Leave --update out to send everything, or name the run folder of its loads with --run-dir."
        )
    if goal.resume and target and journal.count() and not is_made(connector, goal, journal):
        raise InputError(
            f"{target.name}, which the run before wrote to, is not there any more. Leave --resume out to load anew."
        )


def follow(store: str, name: str, old: str, new: Collection) -> None:
    """Let the journals of a collection's runs follow it to the new version that holds the same."""
    for file in journal_files(default_run_dir(store, name)):
        with Journal(file) as journal:
            target = journal.target
            if target is not None and target.name == old:
                journal.aim(target._replace(name=new.name), afresh=False)


def prepare(connector: Connector, goal: Goal, journal: Journal, plan: Plan) -> Target:
    """Return the collection to write to, which is made if need be, and note it in the journal."""
    target = journal.target
    if target and is_made(connector, goal, journal):
        journal.aim(target._replace(whole=True), afresh=False)
        return target
    _sweep(connector, goal, target)
    if goal.shard and goal.shard.number > 1:
        _wait_for_first(connector, goal)
    if not goal.replace and _is_there(connector, goal.name):
        return _take(connector, goal, journal, plan)
    return _make(connector, goal, journal, plan)


def take_over(connector: Connector, goal: Goal, target: Target) -> None:
    """Let the new version take the collection's name, and drop the one that it replaces."""
    switch(connector, goal.name, target.name)
    if target.old and target.old in connector.collections():  # a run before died between the two steps
        connector.drop(target.old)


def _is_there(connector: Connector, name: str) -> bool:
    return name in connector.collections() or name in connector.aliases()


def _sweep(connector: Connector, goal: Goal, target: Target | None) -> None:
    """Drop the version that a run before began and left: it has no name that anybody queries."""
    if target is None or not re.fullmatch(rf"{goal.name}_v\d+", target.name):
        return
    if (
        target.alone
        and target.name in connector.collections()
        and target.name not in connector.aliases().values()
    ):
        connector.drop(target.name)


def _take(connector: Connector, goal: Goal, journal: Journal, plan: Plan) -> Target:
    old = connector.describe(goal.name).collection
    plan.check_fits(old)
    goal.wanted.refuse_other(old)
    name = goal.name if old.metadata.get("attached") else connector.aliases().get(goal.name, goal.name)
    before = journal.target
    known = before is not None and before.name == name
    target = Target(name, alone=known and before is not None and before.alone)
    journal.aim(target, afresh=not known)
    return target


def _make(connector: Connector, goal: Goal, journal: Journal, plan: Plan) -> Target:
    if _is_there(connector, goal.name) and connector.describe(goal.name).collection.metadata.get("attached"):
        raise InputError(f"Collection {goal.name} belongs to others: --replace would drop it.")
    old = connector.aliases().get(goal.name, "")
    target = Target(next_version(connector, goal.name), whole=False, old=old)
    made = replace(plan.collection(), name=target.name)
    settled = goal.wanted.settle(connector, made, plan.sample)
    journal.aim(target, afresh=True)
    connector.create(settled)
    if not _is_there(connector, goal.name):
        connector.alias(goal.name, target.name)
    journal.aim(target._replace(whole=True), afresh=False)
    return target


def _wait_for_first(connector: Connector, goal: Goal) -> None:
    until = time.monotonic() + SHARD_PATIENCE_S
    while not _is_there(connector, goal.name):
        if time.monotonic() > until:
            raise InputError(
                f"Shard 1 of {goal.name} has not made the collection within {SHARD_PATIENCE_S:.0f} s. Start it, then "
                "this one again with --resume."
            )
        time.sleep(_LOOK_S)
