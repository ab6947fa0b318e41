"""The queries that recall is measured with: near a collection's points, or of a file; and that their kind is told."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.index import Hnsw
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.harness.live.queries import Sample, perturbed, read_queries
from cohorts.harness.live.reader import Pace, Reader, draw
from command_line import ok, refused, run
from engine_contract import cloud

N, DIM = 300, 16
VECTORS = cloud(N, DIM)


def no_texts(_: Sequence[str]) -> Any:
    raise AssertionError("there are no texts to encode")


def read(path: Path, queries: int = 1_000, encode: Callable[[Sequence[str]], Any] = no_texts) -> Sample:
    return read_queries(path, DIM, queries, 0, encode)


def test_perturbed_queries_lie_as_far_from_their_point_as_its_nearest_other() -> None:
    with connect("memory:") as connector:
        connector.create(Collection("c", DIM, Hnsw()))
        twice = np.concatenate([VECTORS, VECTORS[:20]])  # the first 20 have a copy
        connector.upsert("c", Points([f"p{i}" for i in range(N + 20)], twice, [{}] * (N + 20)))
        own, nearest, first = draw(Reader(connector, "c", Pace(1e9)), N + 20, 0)
    assert (first, own.ids) == (N + 20, [f"p{i}" for i in range(N + 20)])
    scores = twice @ twice.T
    np.fill_diagonal(scores, -1)
    np.testing.assert_allclose(nearest, scores.max(axis=1), atol=1e-6)
    new = perturbed(own, nearest, 0)
    cosines = (new.vectors * own.vectors).sum(axis=1)
    np.testing.assert_allclose(cosines, np.clip(nearest, 0.1, 0.99), atol=1e-5)
    assert cosines[:20].max() < 0.991  # a copy is turned away, too
    np.testing.assert_allclose(np.linalg.norm(new.vectors, axis=1), 1, atol=1e-6)
    assert (new.vectors == perturbed(own, nearest, 0).vectors).all()
    assert (new.vectors != perturbed(own, nearest, 1).vectors).any()
    assert (new.kind, set(new.selves), list(own.selves)) == ("perturbed", {None}, own.ids)


def test_vectors_of_a_file_are_drawn_by_the_seed(tmp_path: Path) -> None:
    scaled = 3 * VECTORS
    np.save(tmp_path / "q.npy", scaled)
    table = {"id": [f"x{i}" for i in range(N)], "vector": scaled.tolist()}
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    with h5py.File(tmp_path / "q.hdf5", "w") as file:
        file["train"], file["test"] = np.zeros((5, DIM), np.float32), scaled
    for name in ("q.npy", "q.parquet", "q.hdf5"):
        some = read(tmp_path / name, queries=40)
        rows = [int(one) for one in some.ids]
        assert (some.kind, len(set(rows)), rows) == ("vectors", 40, sorted(rows))
        np.testing.assert_allclose(some.vectors, VECTORS[rows], atol=1e-6)
        assert some.about == "40 of the 300 vectors of a file"
    assert len(read(tmp_path / "q.npy").ids) == N


def test_texts_of_a_file_are_encoded_and_never_told(tmp_path: Path) -> None:
    file = tmp_path / "q.txt"
    file.write_text("first note\n\n  \nunknown\nsecond note\n", encoding="utf-8")
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Any:
        asked.extend(texts)
        return np.array([np.zeros(DIM) if one == "unknown" else VECTORS[0] for one in texts], np.float32)

    some = read(file, encode=encode)
    assert (asked, some.kind, some.ids) == (["first note", "unknown", "second note"], "texts", ["1", "5"])
    assert some.about == "2 of the 3 texts of a file; 1 more were drawn, of which the encoder knows no word"
    file.write_text("unknown\n", encoding="utf-8")
    with pytest.raises(InputError, match="knows no word of the queries") as error:
        read(file, encode=encode)
    assert "unknown" not in str(error.value)


def test_what_can_t_be_asked_says_why(tmp_path: Path) -> None:
    bad = VECTORS.copy()
    bad[7] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    np.save(tmp_path / "wide.npy", cloud(3, DIM + 1))
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"Fi\xe8vre secret\n")
    (tmp_path / "q.csv").write_text("a,b\n")
    (tmp_path / "sheet.txt").write_bytes(b"PK\x03\x04 secret xl/")
    for name, why in (
        ("nan.npy", r"Row 7 \(from 0\) .* can't be searched by"),
        ("wide.npy", "vectors of 17 dimensions; the collection's have 16"),
        ("empty.txt", "holds no query"),
        ("latin.txt", "can't be read as text in UTF-8"),
        ("q.csv", "no suffix that is known"),
        ("none.txt", "There is no file"),
        ("none.npy", "There is no file"),
        ("none.h5", "There is no file"),
        ("sheet.txt", "by its first bytes it is an Excel workbook"),
    ):
        with pytest.raises(InputError, match=why) as error:
            read(tmp_path / name)
        assert "secret" not in str(error.value)


def test_the_commands_say_with_what_they_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ok("synth icu --patients 60")
    ok("ingest --source mimic3 --path icu --encoder word2vec:epochs=1,dim=16 --index hnsw:m=4")
    Path("q.txt").write_text("fever and cough\nchest pain, heart failure\n", encoding="utf-8")
    out = ok("audit --rate 100000 --queries 20 --queries-file q.txt --out found")
    kinds = ["own", "perturbed", "texts"]
    assert [line.split()[0] for line in out.splitlines() if line.split()[1:2] == ["none"]] == 2 * kinds
    with Path("found/audit.csv").open(encoding="utf-8") as file:
        assert [(row["kind"], row["queries"]) for row in csv.DictReader(file)] == [
            ("own", "20"),
            ("perturbed", "20"),
            ("texts", "2"),
        ]
    manifest = json.loads(Path("found/manifest.json").read_text())
    assert manifest["queries"] == {"own": 20, "perturbed": 20, "texts": 2}
    assert manifest["queries_are"]["texts"] == "2 of the 2 texts of a file"
    assert "fever" not in Path("found/manifest.json").read_text()
    tune = "tune --rate 100000 --target-recall .5 --queries 20"
    for more, asked in (
        ("", "20 of its points, each turned away"),
        ("--queries-file q.txt", "2 of the 2 texts"),
    ):
        _, _, told = run(f"{tune} {more}")
        assert f"Asked with {asked}" in told
    assert "no suffix" in refused("audit --queries-file q.csv")
