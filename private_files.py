"""Files and folders that only their owner may read: what we write holds patients' data, or could tell of it."""

import os
from pathlib import Path
from typing import TextIO

_FILE, _FOLDER = 0o600, 0o700


def private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for its owner alone; return it. Raises OSError."""
    if not folder.is_dir():
        if folder.parent != folder:
            private_folder(folder.parent)
        folder.mkdir(mode=_FOLDER, exist_ok=True)
    return folder


def open_private(file: Path) -> TextIO:
    """Open a text file for writing, anew, for its owner alone, whatever the umask. Raises OSError.

    A link in its place is not followed: it could lead to a file of another user.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, _FILE)
    try:
        os.fchmod(descriptor, _FILE)
        os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
    except BaseException:
        os.close(descriptor)
        raise


def write_private(file: Path, text: str) -> None:
    """Write a text file, anew, for its owner alone. Raises OSError."""
    with open_private(file) as stream:
        stream.write(text)
