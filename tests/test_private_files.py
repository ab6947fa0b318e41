"""What the library writes is of its owner alone, links lead nowhere, and what a killed run left is swept."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from cohorts.errors import InputError
from cohorts.loaders.journal.lock import only_run
from cohorts.private_files import (
    Scratch,
    lock_folder,
    make_private,
    open_private,
    private_folder,
    replace_private,
    touch_private,
    write_private,
)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """Let everybody read what is made without a thought."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_is_made_is_private_and_what_is_there_keeps_its_folder(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    inner = private_folder(shared / "a" / "b")
    assert [mode(folder) for folder in (shared, inner.parent, inner)] == ["0o777", "0o700", "0o700"]
    (inner / "loose").write_text("before")
    write_private(inner / "text", "ä")
    touch_private(inner / "loose")
    with open_private(inner / "rows", "w") as rows:
        rows.write("one\n")
    with open_private(inner / "rows", "a") as rows:
        rows.write("two\n")
    with replace_private(inner / "whole") as stream:
        stream.write(b"\0")
    assert {file.name: (mode(file), file.read_bytes()) for file in inner.iterdir()} == {
        "text": ("0o600", "ä".encode()),
        "loose": ("0o600", b"before"),
        "rows": ("0o600", b"one\ntwo\n"),
        "whole": ("0o600", b"\0"),
    }


def test_what_another_library_wrote_is_closed_afterwards(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "inner" / "file").touch()
    (made / "link").symlink_to(tmp_path)
    make_private(made)
    assert [mode(made / name) for name in ("", "inner", "inner/file")] == ["0o700", "0o700", "0o600"]
    assert mode(tmp_path) == "0o700"  # pytest's own


@pytest.mark.parametrize("how", ["w", "a", "wb", "ab"])
def test_a_link_is_not_followed(tmp_path: Path, how: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    for name, leads_to in (("link", theirs), ("dangling", tmp_path / "nowhere")):
        (tmp_path / name).symlink_to(leads_to)
        with pytest.raises(OSError, match="symbolic links"):
            open_private(tmp_path / name, how)  # type: ignore[call-overload]
    assert theirs.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    write_private(tmp_path / "link", "ours")  # takes the link's place
    assert (theirs.read_text(), (tmp_path / "link").read_text()) == ("precious", "ours")


def test_a_file_of_another_user_is_refused_and_not_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("precious")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        open_private(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    open_private(Path(os.devnull)).close()  # no file that would keep anything


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "whole")
    with suppress(KeyboardInterrupt), replace_private(tmp_path / "file") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "whole")]


DIES = """
import os, sys
from pathlib import Path
from cohorts.private_files import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.folder / "words").write_text("of a note")
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


def left_by(how: str, parent: Path) -> list[Path]:
    subprocess.run([sys.executable, "-c", DIES, str(parent), how], check=False)
    return list(parent.iterdir())


def test_scratch_goes_at_the_end_and_is_swept_after_a_kill(tmp_path: Path) -> None:
    assert left_by("ended", tmp_path) == []
    (left,) = left_by("killed", tmp_path)
    assert (left / "words").read_text() == "of a note"
    loose = tmp_path / ".cohorts-loose"  # not made by us: we would have closed it
    loose.mkdir()
    with Scratch(tmp_path) as held:
        assert not left.exists()
        assert mode(held) == "0o700"
        with Scratch(tmp_path) as other:  # another run in the folder leaves it alone
            assert held.exists()
            assert set(tmp_path.iterdir()) == {held, other, loose}
    assert list(tmp_path.iterdir()) == [loose]


def test_many_runs_make_and_remove_scratch_in_one_folder(tmp_path: Path) -> None:
    def often(number: int) -> None:
        for _ in range(200):
            with Scratch(tmp_path) as folder:
                for name in "abc":
                    (folder / name).write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(often, range(4)))
    assert list(tmp_path.iterdir()) == []


def test_scratch_of_a_run_that_was_killed_before_it_had_a_lock_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".cohorts-empty").mkdir(0o700)
    Scratch(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_locks_lie_where_nobody_else_can_prepare_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert lock_folder() == runtime / "cohorts-locks"
    runtime.chmod(0o750)
    ours = lock_folder()
    assert (ours.parent, mode(ours)) == (tmp_path, "0o700")
    ours.chmod(0o770)
    with pytest.raises(PermissionError, match="closed to others"):
        lock_folder()
    ours.rmdir()
    elsewhere = private_folder(tmp_path / "elsewhere")
    ours.symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="closed to others"):
        lock_folder()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(PermissionError, match="closed to others"):
        lock_folder()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("store", "refused"), [("memory:", False), ("qdrant:store", True)])
def test_stores_in_memory_of_two_processes_do_not_wait_for_each_other(store: str, refused: bool) -> None:
    other = f"from cohorts.loaders.journal.lock import only_run\nwith only_run({store!r}, 'own'): pass"
    with only_run(store, "own"):
        ended = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert ("Another run is writing" in ended.stderr) is refused
        assert bool(ended.returncode) is refused
        with pytest.raises(InputError, match="Another run is writing"), only_run(store, "own"):
            pass


def test_a_lock_that_was_prepared_as_a_link_empties_nobodys_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with only_run("qdrant:store", "c"):
        (lock,) = lock_folder().iterdir()
        assert mode(lock) == "0o600"
        with pytest.raises(InputError, match="Another run is writing"), only_run("qdrant:./store", "c"):
            pass
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    lock.unlink()
    lock.symlink_to(theirs)
    with pytest.raises(InputError, match="lock of a run can't be made"), only_run("qdrant:store", "c"):
        pass
    assert theirs.read_text() == "precious"
