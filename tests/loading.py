"""Made-up points for tests of the loader alone, a hospital for tests of the ingest, and both as tests call them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import numpy as np
from cohorts.connectors.base import Collection, Connector, Payload, Points, Vectors
from cohorts.loaders.journal.chunks import Chunk, chunk_of_points, take_points
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.lease import Lease
from cohorts.loaders.load import Load, Summary
from cohorts.loaders.targets import LoadRequest
from command_line import ok

DIM = 16
Content = dict[str, tuple[bytes, dict[str, object]]]


def vectors(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(n, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class Rows:
    """n points, `per` to a chunk; counts the ids that were encoded and calls `at` before each chunk."""

    def __init__(
        self, n: int, per: int = 100, at: Callable[[int], None] = lambda _: None, seed: int = 0
    ) -> None:
        payloads: list[Payload] = [
            {"age": float(i % 90), "share": i / 7, "sex": "FM"[i % 2]} for i in range(n)
        ]
        self.points = Points([str(i) for i in range(n)], vectors(n, seed=seed), payloads)
        self.per, self.at, self.expected = per, at, n
        self.encoded_ids: list[str] = []

    def chunks(self, refuse: Callable[[str, str], None]) -> Iterator[Chunk]:
        for number, start in enumerate(range(0, len(self.points.ids), self.per)):
            self.at(number)
            rows = range(start, min(start + self.per, len(self.points.ids)))
            yield chunk_of_points(take_points(self.points, rows))

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        for chunk in chunks:
            assert isinstance(chunk.body, Points)
            self.encoded_ids += chunk.ids
            yield chunk, chunk.body

    def collection(self, name: str, first: Chunk) -> Collection:
        return Collection(name, DIM, fields={"age": float, "sex": str})

    def check_fits(self, there: Collection) -> None:
        assert there.dim == DIM


def silent(stage: str, units: int, expected: int | None = None, /) -> None:
    """Take no notice of progress."""


def run(
    origin: Rows,
    connector: Connector,
    folder: Path,
    goal: LoadRequest | None = None,
    *,
    stop: Event | None = None,
    source: str = "rows",
) -> Summary:
    goal, summary = goal or LoadRequest("c"), Summary()
    about = {"source": source, "collection": goal.name}
    with Journal(folder / "journal.sqlite") as journal, Lease(connector, journal.id, goal.shard) as lease:
        Load(origin, connector, goal, journal, lease, about, summary, silent, stop or Event()).run()
    return summary


def content(connector: Connector, name: str = "c") -> Content:
    return {
        key: (vector.tobytes(), dict(payload))
        for points in connector.scroll(name)
        for key, vector, payload in zip(points.ids, points.vectors, points.payloads, strict=True)
    }


def make_hospital(folder: Path, patients: int, dim: int) -> Path:
    """Make a synthetic hospital and an encoder trained on it; return the folder of both."""
    ok(f"synth {folder}/hospital --patients {patients} --seed 3")
    ok(f"fit --source mimic3 --path {folder}/hospital --encoder word2vec:dim={dim} --out {folder}/encoder")
    return folder


def ingest_arguments(hospital: Path, *more: str) -> list[str]:
    """Return the arguments that ingest what `make_hospital` made."""
    return [
        "ingest",
        "--source=mimic3",
        f"--path={hospital}/hospital",
        f"--encoder={hospital}/encoder",
        "--collection=icu",
        *more,
    ]


def cohorts_in_chunks_of(units: int) -> list[str]:
    """Return the command itself, in chunks small enough for many to be under way when something goes wrong."""
    small = f"from cohorts.loaders.journal import chunks; chunks.CHUNK_UNITS = {units}"
    return [sys.executable, "-c", f"{small}; from cohorts.cli import main; main()"]
