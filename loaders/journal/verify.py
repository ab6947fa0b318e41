"""Does a collection hold what was written to it? Counted, and read back and compared with the journals' traces."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cohorts.connectors.base import Connector, Points
from cohorts.errors import InputError, Unverified
from cohorts.loaders.journal.digests import compare, traces_of
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.versions import standing
from cohorts.workspace import journal_files

SAMPLE = 1_000
POLL_S = 1.0
_PAGE = 1_000
_SHOWN = 5


@dataclass
class Verdict:
    """What was compared and what is wrong. `strangers` are points that no journal knows: a fault where all are ours."""

    written: int
    held: int
    compared: int = 0
    missing: list[str] = field(default_factory=list)
    vectors: list[str] = field(default_factory=list)
    payloads: list[str] = field(default_factory=list)
    strangers: int = 0
    alone: bool = True

    def faults(self) -> list[str]:
        """Return what is wrong, a line each."""
        lines = [
            f"{len(ids):,} {what}, as {', '.join(ids[:_SHOWN])}"
            for ids, what in (
                (self.missing, "are missing"),
                (self.vectors, "have another vector than was written"),
                (self.payloads, "have another payload than was written"),
            )
            if ids
        ]
        if self.held < self.written or (self.alone and self.held != self.written):
            lines.insert(0, f"{self.written:,} were written and {self.held:,} are there")
        if self.alone and self.strangers:
            lines.append(f"{self.strangers:,} were never written by these runs")
        return lines

    def check(self, name: str) -> None:
        """Raise Unverified where anything is wrong."""
        if faults := self.faults():
            raise Unverified(
                f"Collection {name} does not hold what was written: {'; '.join(faults)}. Somebody else may write to "
                "it.",
                remedy="An ingest that resumes nothing writes everything again.",
                hint="ingest_anew",
            )


def verify_runs(connector: Connector, name: str, folder: Path, *, full: bool) -> Verdict:
    """Compare collection `name` with all that was written to it by the runs of a folder, every shard included.

    Raises InputError where there is no journal of this collection, or one of a shard is missing.
    """
    with ExitStack() as stack:
        journals = [stack.enter_context(Journal(file)) for file in journal_files(folder)]
        version = standing(connector, name)
        journals = [one for one in journals if one.know(version) is not None]
        if not journals:
            raise InputError(
                f"There is no journal of {name} in {folder}: only what these runs wrote can be verified.",
                remedy="Name the run folder.",
                hint="name_run_dir",
            )
        last_runs = [run for one in journals if (run := one.last_run()) is not None]
        _check_shards({run.identity.get("shard", "none") for run in last_runs} - {"none"}, folder)
        alone = any(target.alone for one in journals if (target := one.know(version)) is not None)
        return verify(connector, name, journals, alone=alone, full=full)


def _check_shards(shards: set[str], folder: Path) -> None:
    """Raise InputError where the journal of a shard is not there."""
    for many in {int(shard.partition("/")[2]) for shard in shards}:
        lacking = [f"{number}/{many}" for number in range(1, many + 1) if f"{number}/{many}" not in shards]
        if lacking:
            raise InputError(
                f"The journals of shards {', '.join(lacking)} are not in {folder}. Run these shards, or bring their "
                "journals here."
            )


def verify(
    connector: Connector, name: str, journals: Sequence[Journal], *, alone: bool, full: bool = False
) -> Verdict:
    """Compare collection `name` with what the journals say was written: a sample of 1,000 points, or every one.

    `alone` says that nothing else was written to it, so that the count must be exact. A fault counts when it is still
    there after the engine's replicas have had the time to agree.
    """
    for journal in journals:
        journal.look_at(standing(connector, name))
    # Drawn once: another sample might leave out what this one found missing.
    samples = None if full else [journal.sample(SAMPLE // len(journals)) for journal in journals]
    until = time.monotonic() + connector.settles_within_s(name)
    while True:
        verdict = _look(connector, name, journals, samples, alone=alone)
        if not verdict.faults() or time.monotonic() >= until:
            return verdict
        time.sleep(POLL_S)


def _look(
    connector: Connector,
    name: str,
    journals: Sequence[Journal],
    samples: Sequence[list[str]] | None,
    *,
    alone: bool,
) -> Verdict:
    """Compare once: the sampled ids of every journal, or every point where `samples` is None."""
    collection = connector.describe(name).collection
    verdict = Verdict(
        written=sum(journal.count() for journal in journals),
        held=connector.count(name),
        alone=alone,
    )
    payloads = not collection.attached  # of others' points, the payload is theirs too
    pages = connector.scroll(name, _PAGE) if samples is None else _sampled(connector, name, samples, verdict)
    for journal in journals:
        journal.see_none()
    for points in pages:
        _compare(points, journals, verdict, payloads=payloads)
    if samples is None:
        verdict.missing = [key for journal in journals for key in journal.unseen()]
    return verdict


def _sampled(
    connector: Connector, name: str, samples: Sequence[list[str]], verdict: Verdict
) -> Iterator[Points]:
    for ids in samples:
        points = connector.fetch(name, ids)
        verdict.missing += sorted(set(ids) - set(points.ids))
        yield points


def _compare(points: Points, journals: Sequence[Journal], verdict: Verdict, *, payloads: bool) -> None:
    known: dict[str, bytes] = {}
    for journal in journals:
        known |= journal.written(points.ids)
        journal.saw(points.ids)
    rows = [
        (key, known[key], trace)
        for key, trace in zip(points.ids, traces_of(points), strict=True)
        if key in known
    ]
    verdict.strangers += len(points.ids) - len(rows)
    verdict.compared += len(rows)
    vectors, same = compare([ours for _, ours, _ in rows], [theirs for _, _, theirs in rows])
    verdict.vectors += [key for (key, _, _), one in zip(rows, vectors, strict=True) if not one]
    if payloads:
        verdict.payloads += [key for (key, _, _), one in zip(rows, same, strict=True) if not one]
