"""What a load wrote is verified by its digests, and the journal that keeps them is private and of one version."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cohorts.commands.hints import told
from cohorts.connectors.base import PayloadValue, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import InputError, Unverified
from cohorts.loaders.journal.digests import compare, traces_of
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.journal.verify import verify
from hypothesis import given
from hypothesis import strategies as st
from loading import Rows, run, vectors


@pytest.mark.parametrize("full", [False, True])
def test_verifying_finds_what_was_lost_changed_or_added(tmp_path: Path, full: bool) -> None:
    def verdict() -> list[str]:
        with Journal(tmp_path / "journal.sqlite") as journal:
            return verify(engine, "c", [journal], alone=True, full=full).faults()

    with MemoryConnector() as engine:
        origin = Rows(500)
        run(origin, engine, tmp_path)
        assert verdict() == []
        one = Points(["7"], vectors(1, seed=5), [origin.points.payloads[7]])
        engine.upsert("c", one)
        assert verdict() == ["1 have another vector than was written, as 7"]
        engine.upsert("c", Points(["7"], origin.points.vectors[7:8], [{"sex": "F"}]))
        assert verdict() == ["1 have another payload than was written, as 7"]
        engine.delete("c", ["7"])
        assert verdict() == ["500 were written and 499 are there", "1 are missing, as 7"]
        engine.upsert("c", Points(["stranger"], vectors(1), [{}]))
        assert "1 are missing, as 7" in verdict()
        assert ("1 were never written by these runs" in verdict()) is full


@pytest.mark.parametrize("full", [False, True])
def test_a_replica_that_lags_is_looked_at_again(
    tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks a point in one look, as a node of a cluster does that came back; what is lost stays lost."""
    monkeypatch.setattr("cohorts.loaders.journal.verify.POLL_S", 0)

    class Lagging(MemoryConnector):
        lacking = 0
        patience_s = 60.0

        def settles_within_s(self, name: str) -> float:
            return self.patience_s

        def fetch(self, name: str, ids: Sequence[str]) -> Points:
            return self.without_last(super().fetch(name, ids))

        def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
            yield from map(self.without_last, super().scroll(name, page))

        def without_last(self, points: Points) -> Points:
            self.lacking -= 1
            last = -1 if self.lacking >= 0 else None
            return Points(points.ids[:last], points.vectors[:last], points.payloads[:last])

    with Lagging() as engine, Journal(tmp_path / "journal.sqlite") as journal:
        run(Rows(50), engine, tmp_path)
        engine.lacking = 1
        assert verify(engine, "c", [journal], alone=True, full=full).faults() == []
        engine.patience_s, engine.lacking = 0.01, 10**9
        (fault,) = verify(engine, "c", [journal], alone=True, full=full).faults()
        assert fault.startswith("1 are missing")


def test_what_a_sample_found_missing_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sample would leave it out sooner or later, and all would be well."""
    monkeypatch.setattr("cohorts.loaders.journal.verify.POLL_S", 0)
    monkeypatch.setattr("cohorts.loaders.journal.verify.SAMPLE", 5)

    class Lossy(MemoryConnector):
        lost = ""

        def settles_within_s(self, name: str) -> float:
            return 0.2

        def fetch(self, name: str, ids: Sequence[str]) -> Points:
            self.lost = self.lost or ids[0]
            return super().fetch(name, [one for one in ids if one != self.lost])

    with Lossy() as engine, pytest.raises(Unverified, match="1 are missing"):
        run(Rows(50), engine, tmp_path)


def test_a_load_that_does_not_arrive_whole_is_an_error(tmp_path: Path) -> None:
    class Losing(MemoryConnector):
        def upsert(self, name: str, points: Points) -> None:
            super().upsert(name, Points(points.ids[1:], points.vectors[1:], points.payloads[1:]))

    with Losing() as engine, pytest.raises(Unverified, match="300 were written and 297 are there"):
        run(Rows(300), engine, tmp_path)


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_infinity=False)
        | st.text(),
    ),
    st.data(),
)
def test_a_trace_knows_a_payload_whatever_an_engine_does_to_its_numbers(
    payload: dict[str, object], data: st.DataObject
) -> None:
    row = vectors(1)

    def same(one: dict[str, object], other: dict[str, object]) -> bool:
        traces = (traces_of(Points(["a"], row, [some])) for some in (one, other))  # type: ignore[list-item]
        return compare(*traces)[1][0]

    def as_engine(value: object) -> object:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**49:
            return int(value)
        if isinstance(value, float):
            return float(np.nextafter(value, data.draw(st.sampled_from([-np.inf, np.inf]))))
        return value

    read = {key: as_engine(value) for key, value in payload.items() if value is not None}
    assert same(payload, read)
    key = data.draw(st.sampled_from("abcdef"))
    assert not same(payload, payload | {key: "something else"})
    wholes = [key for key, value in payload.items() if type(value) is int]
    if wholes and not any(isinstance(value, float) for value in payload.values()):
        assert not same(payload, payload | {wholes[0]: payload[wholes[0]] + 1})  # type: ignore[operator]


@pytest.mark.parametrize("whole", [0.0, 1.0, 2.0, -60.0, 1e11, 2.0**48, 2.0**52])
@pytest.mark.parametrize("towards", [-np.inf, np.inf])
def test_a_fraction_that_an_engine_rounds_to_a_whole_number_is_the_same(whole: float, towards: float) -> None:
    beside: dict[str, PayloadValue] = {"id": 1_234_567_890_123, "large": 1e18, "share": 0.5, "sex": "F"}

    def same(one: PayloadValue, other: PayloadValue, **changed: PayloadValue) -> bool:
        points = (
            Points(["a"], vectors(1), [row])
            for row in ({**beside, "value": one}, {**beside, "value": other, **changed})
        )
        return compare(*map(traces_of, points))[1] == [True]

    sent = float(np.nextafter(whole, towards))
    assert same(sent, whole)
    assert same(sent, int(whole))
    assert not same(sent, whole + 1 + abs(whole) * 1e-9)
    assert not same(sent, whole, share=0.5 + 1e-9), "a large number beside it hides no other"
    assert not same(whole, whole, id=1_234_567_890_124) or abs(whole) >= 2**49


@pytest.mark.parametrize("dim", [2, 128, 768])
def test_a_trace_knows_a_vector_whatever_its_length_and_rounding(dim: int) -> None:
    rows = vectors(200, dim)
    nothing: Sequence[dict[str, object]] = [{}] * 200
    ids = [str(i) for i in range(200)]
    ours = traces_of(Points(ids, rows, nothing))  # type: ignore[arg-type]
    longer = traces_of(Points(ids, np.asarray(rows * 7.3, np.float32), nothing))  # type: ignore[arg-type]
    assert all(compare(ours, longer)[0])
    turned = rows.copy()
    turned[:, 0] += 1e-3
    assert not any(compare(ours, traces_of(Points(ids, turned, nothing)))[0])  # type: ignore[arg-type]


# -- the journal itself


@pytest.mark.parametrize("version", [1, 99])
def test_a_journal_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    Journal(tmp_path / "j.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as db:
        db.execute(f"pragma user_version = {version}")
    with pytest.raises(InputError, match=f"version {version}; .* replace the collection") as refused:
        Journal(tmp_path / "j.sqlite")
    assert "anew with --replace" in told(refused.value)


def test_several_may_open_a_new_journal_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def open_it(file: Path) -> str:
        together.wait()
        with Journal(file) as journal:
            return journal.id

    with ThreadPoolExecutor(6) as pool:
        for round_ in range(30):
            ids = set(pool.map(open_it, [tmp_path / f"{round_}.sqlite"] * 6))
            assert len(ids) == 1


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_text("something else entirely, of some length " * 50)
    with pytest.raises(InputError, match="can't be used"):
        Journal(tmp_path / "j.sqlite")


def test_the_journal_is_private(tmp_path: Path) -> None:
    Journal(tmp_path / "j.sqlite").close()
    assert (tmp_path / "j.sqlite").stat().st_mode & 0o077 == 0
