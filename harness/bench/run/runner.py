"""An experiment, run: one index at a time is built, measured by all its cells in a random order, and taken down.

What a measurement finds is written as it is; figures are made from the files afterwards. What is there already is not
measured again.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cohorts.connectors.addresses import without_settings
from cohorts.errors import EngineError, InputError, VersionMismatch
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.modes import Measurement, Target
from cohorts.harness.bench.load.workers import WorkerPool
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment, slug
from cohorts.harness.bench.plan.matrix import Cell, Turn, asked, schedule
from cohorts.harness.bench.run.targets import Subject, standing
from cohorts.private_files import private_folder, write_private
from cohorts.provenance import made_with, write_manifest

BUILDS, DATA = "build-*.json", "data.json"  # of the first build, of the second for a run that went on

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
    with WorkerPool() as pool, _versions_that_fit():
        for turn in schedule(experiment):
            if only and turn.build.store.name not in only:
                continue
            left = [
                cell
                for cell in turn.cells
                if cell.measurable
                and (
                    force
                    or not raw.finished(
                        folder / cell.path, asked(experiment, cell, data.payload.told), data.checksum
                    )
                )
            ]
            if left:
                _measure(_Ground(experiment, data, folder, pool), turn, left, tell)
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
    pool: WorkerPool


def _measure(ground: _Ground, turn: Turn, cells: Sequence[Cell], tell: Tell) -> None:
    experiment, data, folder, _ = ground
    tell(f"{turn.build.path}: building")
    with standing(turn.build, data, experiment.k, experiment.seed, experiment.settle) as subject:
        place = folder / turn.build.path
        private_folder(place)
        before = list(place.glob(BUILDS))
        if len(cells) == sum(cell.measurable for cell in turn.cells):  # nothing measured on them is left
            for file in before:
                file.unlink()
            before = []
        address = without_settings(turn.build.store.address)
        facts = {"checksum": data.checksum, "address": address, **subject.told()}
        write_manifest(place / BUILDS.replace("*", str(len(before) + 1)), facts)
        for number, cell in enumerate(cells, 1):
            tell(f"{cell.path} ({number} of {len(cells)})")
            failed = folder / failed_file(cell)
            try:
                found, manifest = _measured(ground, subject, cell)
            except EngineError as error:  # the others can be measured all the same
                private_folder(failed.parent)
                write_private(failed, f"{error}\n")
                tell(f"{cell.path} failed: {error}")
                continue
            raw.write(folder / cell.path, found.samples, manifest, found.written)
            failed.unlink(missing_ok=True)


def failed_file(cell: Cell) -> PurePosixPath:
    """Return where it is written why a measurement failed; the next run tries it again."""
    return cell.path.with_name(f"{cell.path.name}.failed.txt")


def _measured(ground: _Ground, subject: Subject, cell: Cell) -> tuple[Measurement, raw.Manifest]:
    experiment, data, effect = ground.experiment, ground.data, subject.effect(cell)
    found = cell.mode.measure(
        Target(
            opener=subject.opener(cell),
            data=data,
            k=cell.k,
            pool=ground.pool,
            server=subject.pid,
            seconds=experiment.seconds,
            seed=experiment.seed,
            repeat=cell.repeat,
        )
    )
    manifest = raw.manifest_of(
        asked(experiment, cell, data.payload.told),
        data.checksum,
        synthetic=data.synthetic,
        server=subject.built.engine,
        effective_index=effect.index,
        effective_search=effect.search,
        notes=list(dict.fromkeys([*effect.notes, *found.samples.notes])),
        measured=found.facts,
    )
    return found, manifest


def _tell_of_data(experiment: Experiment, data: Dataset, folder: Path) -> None:
    facts = {
        "name": experiment.name,
        "checksum": data.checksum,
        "synthetic": data.synthetic,
        "rows": len(data.vectors),
        "dim": data.vectors.shape[1],
        "queries": len(data.queries),
        "payload": data.payload.told,
        **raw.machine(),
        **made_with(),
    }
    write_manifest(folder / DATA, facts)
