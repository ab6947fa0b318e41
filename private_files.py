"""Files and folders that only their owner may read: what we write holds patients' data, or could tell of it.

What is made here is private from its first moment, whatever the umask. A folder that is there already keeps its mode:
it may be one that the user shares.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Literal, TextIO, overload

_FILE, _FOLDER = 0o600, 0o700
_LOOSE = 0o077  # the rights of everybody but the owner
_SCRATCH = ".cohorts-"
_LOCK = "lock"  # held as long as the process lives: what nobody holds was left by one that was killed


def private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for its owner alone; return it. Raises OSError."""
    if not folder.is_dir():
        if folder.parent != folder:
            private_folder(folder.parent)
        folder.mkdir(mode=_FOLDER, exist_ok=True)
    return folder


def unnamed_file(folder: Path) -> IO[bytes]:
    """Return a file in a folder that has no name: it is gone once it is closed. Raises OSError."""
    return tempfile.TemporaryFile(dir=private_folder(folder))


def try_folder(folder: Path) -> None:
    """Make a folder in the one given, or where that would be made, and remove it. Raises OSError where it can't be."""
    while not folder.exists():
        folder = folder.parent
    Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder)).rmdir()


@overload
def open_private(file: Path, mode: Literal["w", "a"] = "w") -> TextIO: ...
@overload
def open_private(file: Path, mode: Literal["wb", "ab"]) -> BinaryIO: ...
def open_private(file: Path, mode: str = "w") -> IO[str] | IO[bytes]:
    """Open a file for writing, anew or at its end, for its owner alone. Raises OSError.

    A link in its place is not followed, and a file of another user is refused: that user would read what is written.
    """
    if "b" in mode:
        return open(file, mode, opener=_open)
    return open(file, mode, opener=_open, encoding="utf-8", newline="")


def touch_private(file: Path) -> Path:
    """Make a file, or take it as it is, for its owner alone, and return it: for a library that writes to a name.

    Raises OSError.
    """
    open_private(file, "ab").close()
    return file


@contextmanager
def replace_private(file: Path) -> Iterator[BinaryIO]:
    """Yield a stream that takes the file's place when all is written, and is gone otherwise. Raises OSError."""
    with Scratch(file.parent) as folder:
        part = folder / "part"
        with open_private(part, "wb") as stream:
            yield stream
        part.replace(file)


def write_private(file: Path, text: str) -> None:
    """Write a text file whole or not at all, for its owner alone. Raises OSError."""
    with replace_private(file) as stream:
        stream.write(text.encode())


def make_private(folder: Path) -> None:
    """Take the rights of others from all that a library wrote below a folder, and from the folder. Raises OSError."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(_FOLDER if path.is_dir() else _FILE)


class Scratch:
    """A private folder for temporary files, in `parent`, until `close` or the end of the process. Raises OSError.

    What a process that was killed left in `parent` is removed first: a run sweeps what the one before could not.
    """

    def __init__(self, parent: Path) -> None:
        private_folder(parent)
        _sweep(parent)
        self.folder, lock = _locked_folder(parent)
        self._end = weakref.finalize(self, _remove, self.folder, lock)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._end()

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, *_: object) -> None:
        self.close()


def lock_folder() -> Path:
    """Return this user's private folder for locks, the same for all processes of a session. Raises OSError.

    It is XDG_RUNTIME_DIR, which the system keeps for the user alone, or a folder in the one for temporary files.
    """
    place = os.environ.get("XDG_RUNTIME_DIR", "")
    if place and _is_ours(Path(place)):
        return private_folder(Path(place) / "cohorts-locks")
    return _own_folder("locks")


def work_folder() -> Path:
    """Return this user's private folder for temporary files, below the system's (TMPDIR). Raises OSError."""
    return _own_folder("work")


def _own_folder(name: str) -> Path:
    """Return a folder among temporary files, where everybody may write: one that is not this user's is refused."""
    folder = Path(tempfile.gettempdir()) / f"cohorts-{name}-{os.geteuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=_FOLDER)
    if not _is_ours(folder):
        raise PermissionError(f"{folder} is not a folder of this user, closed to others")
    return folder


def private_data_folder() -> Path:
    """Return where this user's own data of cohorts is kept: below XDG_DATA_HOME, or ~/.local/share; nothing is made."""
    place = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (place if place.is_absolute() else Path.home() / ".local" / "share") / "cohorts"


def _is_ours(folder: Path) -> bool:
    """Tell whether it is a folder and no link, of this user, with no rights for others."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    closed = not stat.S_IMODE(about.st_mode) & _LOOSE
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and closed


def _open(path: str, flags: int) -> int:
    """Open as `open` wants it; of a file that is there already, owner and rights are looked at before it is emptied."""
    flags |= os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_EXCL, _FILE)
    except FileExistsError:
        descriptor = os.open(path, flags & ~os.O_TRUNC)
    try:
        about = os.fstat(descriptor)
        if stat.S_ISREG(about.st_mode):  # and no /dev/null
            if about.st_uid != os.geteuid():
                raise PermissionError(f"{path} belongs to another user")
            if stat.S_IMODE(about.st_mode) & _LOOSE:
                os.fchmod(descriptor, _FILE)
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _locked_folder(parent: Path) -> tuple[Path, BinaryIO]:
    """Make a folder and hold its lock; once more where another process swept it in between."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        with suppress(FileNotFoundError):
            lock = open_private(folder / _LOCK, "ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.close()


def _sweep(parent: Path) -> None:
    """Remove the folders that nobody holds; those in use, and those of other users, are left."""
    for folder in parent.glob(f"{_SCRATCH}*"):
        if _is_ours(folder):
            with suppress(OSError):
                folder.rmdir()  # empty: of a run that was killed when it had no lock yet, or no more
            # No lock is made here: it would stand in the way of one that is just removing the folder.
            with suppress(FileNotFoundError, BlockingIOError), (folder / _LOCK).open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder, lock)


def _remove(folder: Path, lock: BinaryIO) -> None:
    """Remove a folder whose lock is held, and the lock last: nobody else takes it up meanwhile."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
    (folder / _LOCK).unlink()
    with suppress(FileNotFoundError):  # another process swept the empty folder
        folder.rmdir()
    lock.close()
