"""A command that is interrupted, refused or fails ends in one message, wherever it was."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts import cli
from cohorts.commands.output.interrupts import interruptible
from cohorts.loaders.stages import Prefetcher, Times
from command_line import ok
from loading import vectors

# A signal comes when all is said, while the interpreter ends.
LATE = """
import atexit, os, signal
from cohorts.cli import main
atexit.register(os.kill, os.getpid(), signal.SIGINT)
main()
"""


def vector_file(file: Path, many: int, dim: int) -> Path:
    rows = {"id": [str(i) for i in range(many)], "vector": list(vectors(many, dim))}
    pq.write_table(pa.table(rows), file)
    return file


def send(how: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), how)


def in_a_destructor() -> None:
    class Sending:
        def __del__(self) -> None:
            send()
            for _ in range(10_000):  # here Python raises, and prints, what it can't raise further
                pass

    Sending()


def in_another_thread() -> None:
    threading.Thread(target=send).start()


def exit_code_of(work: Callable[[], None]) -> object:
    with pytest.raises(SystemExit) as ended, interruptible(lambda error: pytest.fail(str(error))):
        work()
    return ended.value.code


@pytest.mark.parametrize("come", [send, in_a_destructor, in_another_thread])
def test_a_signal_is_told_in_one_message_wherever_it_comes(
    come: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    closed = []

    def work() -> None:
        try:
            come()
            time.sleep(30)
        finally:
            closed.append("what was open")

    assert exit_code_of(work) == 130
    assert closed
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Error: Stopped as asked by SIGTERM.")


def test_what_comes_of_a_signal_is_told_as_a_signal(capfd: pytest.CaptureFixture[str]) -> None:
    """A library may make an error of its own of it."""

    def work() -> None:
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise RuntimeError from error

    assert exit_code_of(work) == 130
    assert capfd.readouterr().err.startswith("Error: Stopped as asked by SIGINT.")


def test_an_error_of_a_destructor_or_a_thread_is_told_without_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("a record")

    def fail() -> None:
        raise KeyError("a record")

    told: list[BaseException] = []
    with interruptible(told.append):
        Failing()
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert [type(error) for error in told] == [ValueError, KeyError]
    assert capfd.readouterr().err == ""


def test_a_signal_ends_a_command_that_is_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ok(f"load --vectors {vector_file(tmp_path / 'rows.parquet', 50, 8)} --collection c --made-by x")

    class Sending(pq.ParquetWriter):  # type: ignore[misc]
        def write_table(self, *_: object, **__: object) -> None:
            send()
            time.sleep(30)

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter", Sending)
    monkeypatch.setattr(
        "sys.argv",
        ["cohorts", "export", "--collection", "c", "--out", "out.parquet", "--log-format", "json"],
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [event["message"][:27] for event in events if event["event"] == "error"] == [
        "Stopped as asked by SIGTERM"
    ]
    assert not list(tmp_path.glob("*out.parquet*")), "half an export is none"


def test_a_refused_load_says_one_thing_and_a_signal_at_its_end_no_other(tmp_path: Path) -> None:
    vector_file(tmp_path / "narrow.parquet", 50, 8)
    vector_file(tmp_path / "wide.parquet", 20_000, 16)
    store = f"--store qdrant:{tmp_path}/s --collection c --made-by x"
    ok(f"load --vectors {tmp_path}/narrow.parquet {store}")
    done = subprocess.run(
        [sys.executable, "-c", LATE, "load", "--vectors", "wide.parquet", *store.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Collection c_v1 holds vectors of 8 numbers")


def test_a_stage_that_is_ended_closes_what_it_reads_from_where_it_read() -> None:
    """SQLite's connections, for one, are closed in the thread that opened them, or not at all."""
    threads = []

    def items() -> Iterator[int]:
        threads.append(threading.get_ident())
        try:
            yield from range(1_000)
        finally:
            threads.append(threading.get_ident())

    times = Times()
    with closing(Prefetcher(items(), times.of("read"), times.of("write"))) as ahead:
        next(ahead)
    assert threads[0] == threads[1] != threading.get_ident()
