"""An experiment, run: one index at a time is built, measured by all its cells in a random order, and taken down.

What a measurement finds is written as it is; figures are made from the files afterwards. What is there already is not
measured again.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from cohorts.connectors.addresses import without_settings
from cohorts.errors import EngineError, InputError, VersionMismatch
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.arrivals import Run, arrivals, closed_loop, open_loop, single
from cohorts.harness.bench.load.clients import NullOpener, Opener, StoreOpener
from cohorts.harness.bench.load.processes import Meter
from cohorts.harness.bench.load.samples import Samples
from cohorts.harness.bench.load.turnover import draw, points_of, taken_out
from cohorts.harness.bench.load.workers import Crowds
from cohorts.harness.bench.load.writes import Writes, while_writing
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment, slug
from cohorts.harness.bench.plan.matrix import Cell, Closed, Open, Single, Turn, Writing, asked, schedule
from cohorts.harness.bench.results import Answers, Written
from cohorts.harness.bench.run.targets import Subject, standing, told
from cohorts.private_files import private_folder, write_private
from cohorts.provenance import made_with, write_manifest

BUILDS, DATA = "build-*.json", "data.json"  # of the first build, of the second for a run that went on
OPEN_CLIENTS = 8  # who take arrivals: enough that one slow answer holds no other back

Tell = Callable[[str], None]


def run(
    experiment: Experiment,
    out: Path,
    tell: Tell = lambda _: None,
    *,
    only: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Measure every cell that is not there yet (with `force`: every one), of the stores in `only`; return the folder.

    A cell at which the engine fails is left out, and the reason written where its results would be.

    Raises InputError, EngineError, UnsupportedIndex, MissingExtra.
    """
    unknown = set(only) - {store.name for store in experiment.stores}
    if unknown:
        known = ", ".join(store.name for store in experiment.stores)
        raise InputError(f"The experiment has no store {', '.join(sorted(unknown))}. Stores: {known}.")
    folder = out / slug(experiment.name)
    data = make_dataset(experiment)
    with Crowds() as crowds, _versions_that_fit():
        for turn in schedule(experiment):
            if only and turn.build.store.name not in only:
                continue
            left = [
                cell
                for cell in turn.cells
                if cell.measurable
                and (force or not raw.finished(folder / cell.path, asked(experiment, cell), data.checksum))
            ]
            if left:
                _measure(_Ground(experiment, data, folder, crowds), turn, left, tell)
    _tell_of_data(experiment, data, folder)
    return folder


@contextmanager
def _versions_that_fit() -> Iterator[None]:
    """Take versions of client and server that do not fit for an error: it is one version that is to be measured."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", VersionMismatch)
        try:
            yield
        except VersionMismatch as mismatch:
            raise InputError(f"Nothing was measured. {mismatch}") from mismatch


class _Ground(NamedTuple):
    """What all measurements of a run stand on."""

    experiment: Experiment
    data: Dataset
    folder: Path
    crowds: Crowds


def _measure(ground: _Ground, turn: Turn, cells: Sequence[Cell], tell: Tell) -> None:
    experiment, data, folder, _ = ground
    tell(f"{turn.build.path}: building")
    with standing(turn.build, data, experiment.k, experiment.seed) as subject:
        place = folder / turn.build.path
        private_folder(place)
        before = list(place.glob(BUILDS))
        if len(cells) == sum(cell.measurable for cell in turn.cells):  # nothing measured on them is left
            for file in before:
                file.unlink()
            before = []
        address = without_settings(turn.build.store.address)
        facts = {"checksum": data.checksum, "address": address, **told(subject)}
        write_manifest(place / BUILDS.replace("*", str(len(before) + 1)), facts)
        for number, cell in enumerate(cells, 1):
            tell(f"{cell.path} ({number} of {len(cells)})")
            failed = folder / failed_file(cell)
            try:
                seen = _seen(cell, subject, ground)
            except EngineError as error:  # the others can be measured all the same
                private_folder(failed.parent)
                write_private(failed, f"{error}\n")
                tell(f"{cell.path} failed: {error}")
                continue
            manifest = _manifest(experiment, cell, subject, data, seen)
            raw.write(folder / cell.path, seen.answers, manifest, seen.written)
            failed.unlink(missing_ok=True)


def failed_file(cell: Cell) -> PurePosixPath:
    """Return where it is written why a measurement failed; the next run tries it again."""
    return cell.path.with_name(f"{cell.path.name}.failed.txt")


class _Seen(NamedTuple):
    """What was answered, what was done otherwise than asked, what else was seen, and what was written meanwhile."""

    answers: Answers
    notes: Sequence[str]
    facts: Mapping[str, Any]
    written: Written | None


def _manifest(
    experiment: Experiment, cell: Cell, subject: Subject, data: Dataset, seen: _Seen
) -> raw.Manifest:
    effect = subject.effect(cell)
    return raw.manifest_of(
        asked(experiment, cell),
        data.checksum,
        synthetic=data.synthetic,
        server=subject.built.engine,
        effective_index=effect.index,
        effective_search=effect.search,
        notes=list(dict.fromkeys([*effect.notes, *seen.notes])),
        measured=seen.facts,
    )


def _seen(cell: Cell, subject: Subject, ground: _Ground) -> _Seen:
    opener, data = subject.opener(cell), ground.data
    written = None
    if isinstance(cell.mode, Single):
        meter = Meter(subject.pid)
        alone = single(opener, data.queries, cell.k)
        server_cores = meter.read().cores
        samples = alone.warm
        facts = {
            "cold_ms": alone.cold.latency_ms.round(4).tolist(),
            "floor_ms": float(np.median(single(NullOpener(), data.queries, cell.k).warm.latency_ms)),
            "client_cores": alone.client_cores,
            "server_cores": server_cores,
        }
    else:
        ran, written = _under_load(cell.mode, cell, opener, subject.pid, ground)
        samples = ran.samples
        facts = {
            "how": ran.how,
            "qps": ran.qps,
            "behind_ms": ran.behind_ms,
            "client_cores": ran.client_cores,
            "server_cores": ran.server_cores,
            "fewest_found": int(samples.found.min()) if len(samples) else 0,
        }
    return _Seen(answers_of(samples, cell.k), list(samples.notes), facts, written)


def _under_load(
    mode: Closed | Open | Writing, cell: Cell, opener: Opener, server: int | None, ground: _Ground
) -> tuple[Run, Written | None]:
    experiment, data, _, crowds = ground
    queries, k, seconds = data.queries, cell.k, experiment.seconds
    if isinstance(mode, Closed):
        return closed_loop(crowds, opener, queries, k, mode.clients, seconds, server=server), None
    due_s = arrivals(mode.rate, seconds, experiment.seed + cell.repeat)
    if isinstance(mode, Open):
        return open_loop(crowds, opener, queries, k, due_s, OPEN_CLIENTS, server=server), None
    assert isinstance(opener, StoreOpener)  # noqa: S101 - into a library nothing is written
    turnover = draw(len(data.vectors), experiment.rows_each(mode.writes), (experiment.seed, cell.repeat))
    deleted = [str(row) for row in turnover.deleted]
    writes = Writes(points_of(data, turnover.written), deleted, mode.writes, seconds)
    with taken_out(opener, data, turnover):
        return while_writing(crowds, opener, queries, k, due_s, OPEN_CLIENTS, writes, server=server)


def answers_of(samples: Samples, k: int) -> Answers:
    """Return what was seen as columns; where ids weren't kept, nothing counts as got."""
    got, ids, scores = np.zeros(len(samples), np.int64), np.empty(0, np.str_), np.empty(0, np.float32)
    if samples.ids is not None and samples.scores is not None:
        filled = samples.ids != ""
        got, ids, scores = samples.found, samples.ids[filled], samples.scores[filled]
    return Answers(
        query=samples.query,
        latency_ms=samples.latency_ms,
        asked=np.full(len(samples), k, np.int64),
        got=got,
        ids=ids,
        scores=scores,
        started_s=samples.started_ms / 1000,
        intended_s=samples.intended_ms / 1000,
    )


def _tell_of_data(experiment: Experiment, data: Dataset, folder: Path) -> None:
    facts = {
        "name": experiment.name,
        "checksum": data.checksum,
        "synthetic": data.synthetic,
        "rows": len(data.vectors),
        "dim": data.vectors.shape[1],
        "queries": len(data.queries),
        **raw.machine(),
        **made_with(),
    }
    write_manifest(folder / DATA, facts)
