"""Loads refused, killed, resumed, updated, replaced, copied and reindexed in random order: the collection is right.

A kill is one of the whole process: after it, nothing more is written to the engine or the journal, no clean-up either.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, Payload, Points, Vectors
from cohorts.connectors.index import Flat, Hnsw
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.milvus.embedded import MilvusLiteConnector
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.errors import InputError
from cohorts.loaders.holding import holding
from cohorts.loaders.journal.chunks import Chunk, chunk_of_points, take_points
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.journal.verify import verify_runs
from cohorts.loaders.load import Load, PointSource, Summary
from cohorts.loaders.points.ready import CollectionSource, check_space
from cohorts.loaders.reindex import reindex
from cohorts.loaders.targets import LoadRequest
from cohorts.loaders.versions import IndexRequest
from loading import silent

DIM, PER = 8, 6
PLACE = "memory:"
Held = dict[str, tuple[int, str]]  # of every unit, the version of its record and the encoder


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Life:
    """Counts what is written, and ends the process after so many steps; then nothing is written any more."""

    left: int | None = None

    def step(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            raise Killed
        self.left -= 1


def mortal(kind: type[Connector], life: Life) -> type[Connector]:
    """Return an engine whose every write is two steps: one may die before it and after it."""

    def stepping(name: str) -> Callable[..., Any]:
        def step(self: Connector, *arguments: Any, **named: Any) -> Any:
            life.step()
            done = getattr(kind, name)(self, *arguments, **named)
            life.step()
            return done

        return step

    writes = ("create", "upsert", "delete", "drop", "alias", "finalize")
    return type("Mortal", (kind,), {name: stepping(name) for name in writes})


def points_of(held: Held) -> Points:
    drawn = [
        np.random.default_rng([int(key), version, ord(made_by)]).normal(size=DIM)
        for key, (version, made_by) in held.items()
    ]
    vectors: Vectors = np.array(drawn, np.float32).reshape(len(held), DIM)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    payloads: list[Payload] = [{"version": version, "made_by": made_by} for version, made_by in held.values()]
    return Points(list(held), vectors, payloads)


class Units:
    """The units of a source at one moment, by one encoder."""

    def __init__(self, held: Held, made_by: str) -> None:
        self.points, self.made_by, self.expected = points_of(held), made_by, len(held)

    def chunks(self, refuse: Callable[[str, str], None]) -> Iterator[Chunk]:
        for start in range(0, len(self.points.ids), PER):
            rows = range(start, min(start + PER, len(self.points.ids)))
            yield chunk_of_points(take_points(self.points, rows))

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        for chunk in chunks:
            assert isinstance(chunk.body, Points)
            yield chunk, chunk.body

    def collection(self, name: str, first: Chunk) -> Collection:
        return Collection(name, DIM, fields={"version": int}, metadata={"encoder_fingerprint": self.made_by})

    def check_fits(self, there: Collection) -> None:
        check_space(there, DIM, self.made_by)


@dataclass(frozen=True)
class Step:
    """What a user asks for; `source` is the state of the hospital that is read."""

    kind: str
    source: int
    made_by: str
    update: bool = False
    replace: bool = False
    resume: bool = False


@dataclass
class Hospital:
    """What the source holds, version by version, and what should stand in the collection."""

    draw: random.Random
    states: list[Held] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states.append({str(key): (0, "-") for key in range(self.draw.randint(10, 30))})

    def change(self) -> None:
        """Change, remove and add some patients."""
        now = {
            key: (version + (self.draw.random() < 0.2), "-")
            for key, (version, _) in self.states[-1].items()
            if self.draw.random() > 0.1
        }
        new = {str(100 * len(self.states) + key): (0, "-") for key in range(self.draw.randint(1, 4))}
        self.states.append(now | new)

    def seen_by(self, state: int, made_by: str) -> Held:
        return {key: (version, made_by) for key, (version, _) in self.states[state].items()}


class Store:
    """One engine with collection `c`, the run folder of its loads, and the life of the process that writes."""

    def __init__(self, engine: Connector, folder: Path, life: Life) -> None:
        self.engine, self.folder, self.life = engine, folder, life

    def do(self, step: Step, hospital: Hospital, kill_at: int | None) -> None:
        """Run a step. Raises InputError where it is refused, Killed."""
        self.life.left = kill_at
        try:
            self._run(step, hospital)
        finally:
            self.life.left = None

    def _run(self, step: Step, hospital: Hospital) -> None:
        with holding(self.engine, PLACE, "c", self.folder) as held:
            if step.kind == "reindex":
                reindex(self.engine, "c", IndexRequest(Flat() if step.source % 2 else Hnsw()), silent, held)
                return
            rows = hospital.seen_by(step.source, step.made_by)
            origin: PointSource = Units(rows, step.made_by)
            if step.kind == "copy":
                origin = _copied(origin)
            goal = LoadRequest(
                "c", replace=step.replace, resume=step.resume, update=step.update, remove_vanished=step.update
            )
            about = {
                "store": PLACE,
                "collection": "c",
                "mode": goal.mode,
                "source": f"{step.kind} {step.source}",
                "encoder": step.made_by,
            }
            Load(
                origin, self.engine, goal, held.journals[0], held.lease, about, Summary(), silent, Event()
            ).run()

    def content(self) -> Held:
        if "c" not in self.engine.aliases():
            return {}
        return {
            key: (payload["version"], payload["made_by"])  # type: ignore[misc]
            for page in self.engine.scroll("c")
            for key, payload in zip(page.ids, page.payloads, strict=True)
        }

    def made_by(self) -> str:
        return str(self.engine.describe("c").collection.metadata["encoder_fingerprint"])


def _copied(origin: PointSource) -> CollectionSource:
    assert isinstance(origin, Units)
    other = MemoryConnector()
    other.create(
        Collection("c", DIM, fields={"version": int}, metadata={"encoder_fingerprint": origin.made_by})
    )
    other.upsert("c", origin.points)
    return CollectionSource(other, "c", PLACE)


def may_be_refused(step: Step, store: Store) -> bool:
    """Tell whether a step that is not resumed must be refused."""
    if "c" not in store.engine.aliases():
        return step.update or step.kind == "reindex"
    return not step.replace and step.kind != "reindex" and step.made_by != store.made_by()


def draw_step(hospital: Hospital, before: Step | None) -> Step:
    draw = hospital.draw
    if before is not None and draw.random() < 0.35:
        return Step(before.kind, before.source, before.made_by, before.update, before.replace, resume=True)
    kind = draw.choices(["ingest", "copy", "reindex"], [6, 2, 2])[0]
    mode = draw.choices(["load", "update", "replace"], [4, 3, 3])[0]
    return Step(
        kind,
        len(hospital.states) - 1,
        draw.choices("AB", [3, 1])[0],
        update=mode == "update" and kind == "ingest",
        replace=mode == "replace",
        resume=draw.random() < 0.15,
    )


def check_after(step: Step, store: Store, hospital: Hospital, before: Held, outcome: str) -> None:
    after, new = store.content(), hospital.seen_by(step.source, step.made_by)
    if outcome == "refused":
        assert after == before, (step, "a refused run changes nothing")
        assert step.resume or may_be_refused(step, store), (step, "refused for no reason")
        return
    if after:
        assert {made_by for _, made_by in after.values()} == {store.made_by()}, (
            step,
            "one encoder's vectors",
        )
    if outcome == "killed":
        for key in {*before, *after, *new}:
            assert after.get(key) in (before.get(key), new.get(key)), (step, key)
    elif step.kind == "reindex":
        assert after == before
    elif step.replace or step.update:
        assert after == new
    else:
        assert after == before | new


def play(store: Store, seed: int, steps: int) -> None:
    """Play one random sequence, then mend as a user would: everything must be right, and nothing left over."""
    hospital = Hospital(random.Random(seed))
    before: Step | None = None
    for _ in range(steps):
        if hospital.draw.random() < 0.4:
            hospital.change()
        step = draw_step(hospital, before)
        held = store.content()
        kill_at = hospital.draw.randint(0, 24) if hospital.draw.random() < 0.4 else None
        try:
            store.do(step, hospital, kill_at)
            outcome = "done"
        except Killed:
            outcome = "killed"
        except InputError:
            outcome = "refused"
        check_after(step, store, hospital, held, outcome)
        before = step if step.kind != "reindex" else before
    there = "c" in store.engine.aliases()
    last = Step("ingest", len(hospital.states) - 1, store.made_by() if there else "A")
    store.do(last, hospital, None)
    store.do(Step(last.kind, last.source, last.made_by, update=True), hospital, None)
    assert store.content() == hospital.seen_by(last.source, last.made_by)
    assert store.engine.aliases() == {"c": store.engine.describe("c").collection.name}
    assert store.engine.collections() == [store.engine.describe("c").collection.name], "nothing is left over"
    assert verify_runs(store.engine, "c", store.folder, full=True).faults() == []


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Life:
    """Let the journal, too, end with the process."""
    life, transaction = Life(), Journal._transaction

    def step(self: Journal) -> Any:
        life.step()
        return transaction(self)

    monkeypatch.setattr(Journal, "_transaction", step)
    return life


@pytest.mark.parametrize("seed", range(170))
def test_in_memory(seed: int, life: Life, tmp_path: Path) -> None:
    with mortal(MemoryConnector, life)() as engine:
        play(Store(engine, tmp_path / "run", life), seed, 10)


@pytest.mark.parametrize("seed", range(200, 220))
def test_embedded_qdrant(seed: int, life: Life, tmp_path: Path) -> None:
    kind: Any = mortal(QdrantEdgeConnector, life)
    with kind(tmp_path / "store") as engine:
        play(Store(engine, tmp_path / "run", life), seed, 8)


@pytest.mark.parametrize("seed", range(300, 310))
def test_embedded_milvus(seed: int, life: Life, tmp_path: Path) -> None:
    kind: Any = mortal(MilvusLiteConnector, life)
    with kind(tmp_path / "store.db") as engine:
        play(Store(engine, tmp_path / "run", life), seed, 6)
