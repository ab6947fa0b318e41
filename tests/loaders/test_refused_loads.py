"""A load that is refused changes nothing: not the collection, and not the journal, so no later --resume either."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.base import Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.loaders.journal.chunks import Chunk
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.journal.verify import verify_runs
from cohorts.loaders.targets import LoadRequest
from command_line import ok, refused
from loading import Content, Rows, content, run

STORE = "qdrant:./cohorts.qdrant"
JOURNAL = Path("cohorts.qdrant.runs/notes/journal.sqlite")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("refused") / "notes.csv"
    words = np.random.default_rng(0).choice(["cough", "fever", "fall", "pain", "rash", "sepsis"], (60, 8))
    lines = [f"{number},{' '.join(row)} of patient\n" for number, row in enumerate(words)]
    file.write_text("id,text\n" + "".join(lines))
    return file


@pytest.fixture
def ingest(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    command = f"ingest --source notes-csv --path {notes} --columns id=id,text=text --collection notes"
    ok(f"{command} --encoder word2vec:dim=16,epochs=1")
    return command


def standing() -> Content:
    with connect(STORE) as engine:
        return content(engine, "notes")


@pytest.mark.parametrize("other", ["word2vec:dim=64,epochs=1", "word2vec:dim=16,epochs=2"])
def test_what_was_refused_is_not_resumed(ingest: str, other: str) -> None:
    """By another dimension the collection was emptied; by the same one it held the vectors of two encoders."""
    before = standing()
    assert "was made by encoder word2vec" in refused(f"{ingest} --encoder {other}")
    message = refused(f"{ingest} --encoder {other} --resume")
    assert f"encoder asked was word2vec:dim=16,epochs=1 and is now {other}" in message
    assert "Leave --resume out" in message
    ok(f"{ingest} --encoder word2vec:dim=16,epochs=1 --resume")
    assert standing() == before
    ok("verify --collection notes --full")


def test_an_update_after_a_refusal_is_of_the_collection_s_own_encoder(ingest: str) -> None:
    before = standing()
    refused(f"{ingest} --encoder word2vec:dim=16,epochs=2")
    ok(f"{ingest} --update")
    assert standing() == before


def test_ready_vectors_of_another_maker_are_refused_with_resume_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    np.save("rows.npy", rows)
    np.save("more.npy", np.concatenate([rows, rows])[:, :4])
    Path("rows.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(40)))
    Path("more.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(80)))
    ok("load --vectors rows.npy --payload rows.csv --made-by a --collection notes")
    before = standing()
    for more in ("", " --resume"):
        refused(f"load --vectors more.npy --payload more.csv --made-by a --collection notes{more}")
        refused(f"load --vectors rows.npy --payload rows.csv --made-by b --collection notes{more}")
    ok(f"load --vectors more.npy --payload more.csv --made-by b --collection notes --store {STORE}2")
    for more in ("", " --resume"):
        refused(f"copy --from {STORE}2 --to {STORE} --collection notes{more}")
    assert standing() == before


@pytest.mark.parametrize("lost", ["gone", "emptied"])
@pytest.mark.parametrize("option", ["--resume", "--update"])
def test_a_journal_that_knows_nothing_is_an_error(ingest: str, lost: str, option: str) -> None:
    if lost == "gone":
        JOURNAL.unlink()
    else:
        JOURNAL.write_bytes(b"")
    before = standing()
    message = refused(f"{ingest} --encoder word2vec:dim=16,epochs=1 {option}")
    if option == "--update" or lost:
        assert "does not know what is in notes, which holds 60 vectors" in message
    assert standing() == before
    ok(f"{ingest} --encoder word2vec:dim=16,epochs=1")


def test_a_journal_of_another_collection_is_an_error_and_stays(ingest: str, tmp_path: Path) -> None:
    before = JOURNAL.read_bytes()
    message = refused(
        f"{ingest} --encoder word2vec --store qdrant:./other --run-dir cohorts.qdrant.runs/notes"
    )
    assert "is of collection notes of qdrant:./cohorts.qdrant" in message
    assert JOURNAL.read_bytes() == before


def test_versions_are_not_names_to_write_to(ingest: str) -> None:
    before = standing()
    for more in ("", "--replace", "--update"):
        message = refused(
            f"{ingest} --encoder word2vec:dim=16,epochs=1 --collection notes_v1 {more}".replace(
                "--collection notes ", ""
            )
        )
        assert "Write to --collection notes" in message
    np.save("rows.npy", np.eye(4, dtype=np.float32))
    Path("rows.csv").write_text("id\n0\n1\n2\n3\n")
    refused("load --vectors rows.npy --payload rows.csv --collection notes_v1 --replace")
    refused(f"copy --from {STORE} --to {STORE}2 --collection notes --as notes_v1")
    assert standing() == before


def test_what_stands_there_of_a_rejected_point_stays(tmp_path: Path) -> None:
    with MemoryConnector() as engine:
        run(Rows(50), engine, tmp_path)
        before = content(engine)
        bad = Rows(50)
        bad.points.payloads[7]["share"] = 1.0  # type: ignore[index]
        bad.points.vectors[7] = np.nan
        for _ in range(2):
            run(bad, engine, tmp_path, LoadRequest("c", update=True))
            with Journal(tmp_path / "journal.sqlite") as journal:
                assert [key for key, _ in journal.rejections()] == ["7"], "until it is mended"
            assert content(engine) == before
        mended = Rows(50)
        mended.points.payloads[7]["share"] = 2.0  # type: ignore[index]
        assert run(mended, engine, tmp_path, LoadRequest("c", update=True)).written == 1
        with Journal(tmp_path / "journal.sqlite") as journal:
            assert journal.rejections() == []


class Fewer(Rows):
    """The same without its last units, as of a source that lost them."""

    lost = 25

    def chunks(self, refuse: object) -> Iterator[Chunk]:
        for chunk in super().chunks(refuse):  # type: ignore[arg-type]
            kept = [row for row, key in enumerate(chunk.ids) if int(key) < len(self.points.ids) - self.lost]
            if kept:
                yield chunk.take(kept)


def test_who_was_removed_is_removed_after_a_replacement_that_died(tmp_path: Path) -> None:
    class Dying(MemoryConnector):
        def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
            if name == "c_v2":
                raise KeyboardInterrupt
            super().finalize(name, timeout_s=timeout_s)

    with Dying() as engine:
        run(Rows(100), engine, tmp_path)
        with pytest.raises(KeyboardInterrupt):
            run(Rows(100), engine, tmp_path, LoadRequest("c", replace=True))
        run(Fewer(100), engine, tmp_path)
        assert engine.collections() == ["c_v1"], "what the replacement left is swept"
        summary = run(Fewer(100), engine, tmp_path, LoadRequest("c", update=True, remove_vanished=True))
        assert (summary.removed, engine.count("c")) == (25, 75)
        assert verify_runs(engine, "c", tmp_path, full=True).faults() == []


def test_points_of_a_batch_in_flight_are_known_to_the_next_run(tmp_path: Path) -> None:
    class Dying(MemoryConnector):
        alive = True

        def upsert(self, name: str, points: Points) -> None:
            super().upsert(name, points)
            if "99" in points.ids and self.alive:
                raise KeyboardInterrupt

    with Dying() as engine:
        with pytest.raises(KeyboardInterrupt):
            run(Rows(100, per=50), engine, tmp_path)
        assert engine.count("c") == 100
        engine.alive = False
        run(Fewer(100), engine, tmp_path)
        run(Fewer(100), engine, tmp_path, LoadRequest("c", update=True, remove_vanished=True))
        assert engine.count("c") == 75
