"""Where the tables of a hospital lie: in the folder that was named, in parts of it, or in the only one below."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cohorts.errors import SourceError
from cohorts.records.tables.reading import find_files

_LEVELS = 3  # below the folder that was named: physionet.org/files/mimiciii/1.4


@dataclass(frozen=True)
class Places:
    """The folders that hold a hospital's tables, `root` or parts of it; `told` is what there is to say of them.

    Where the tables were copied out of `root`, that is what messages name.
    """

    root: Path
    folders: Sequence[Path]
    told: Sequence[str] = ()
    copied: bool = False

    def __str__(self) -> str:
        """Return the folders as a message may name them."""
        if self.copied:
            return str(self.root)
        return " and ".join(map(str, self.folders)) + ("" if self.root.is_dir() else ", which is no folder")

    def find(self, table: str) -> list[Path]:
        """Return the files of a table, none where it is not there. Raises SourceError where it stands there twice."""
        found = [files for folder in self.folders if (files := find_files(folder, table))]
        if len(found) > 1:
            both = " and ".join(str(files[0]) for files in found)
            raise SourceError(f"Table {table} is there twice: {both}. Move one of them away.")
        return found[0] if found else []


def locate(path: Path, tables: Sequence[str], parts: Collection[str] = ()) -> Places:
    """Return where the tables of a hospital are, which has at least one of `tables`.

    They are looked for in the folder `path`, in its folders whose names are in `parts`, in the folders beside it where
    it is such a part itself, and in the folders below it. Raises SourceError where more than one of these holds
    them, or the folder above does.
    """
    whole = path.absolute()  # not resolved: a part may be a link
    if whole.name.lower() in parts and _holds(beside := _parts(whole.parent, parts), tables):
        told = [f"{path} is taken for a part of {whole.parent}"] if len(beside) > 1 else []
        return Places(whole.parent, beside, told)
    if _holds(here := [path, *_parts(path, parts)], tables):
        return Places(path, here)
    below = list(_below(path, tables, parts))
    if len(below) > 1:
        names = ", ".join(str(places.root) for places in below)
        raise SourceError(f"{path} has {len(below)} folders with tables: {names}. Name one of them.")
    if below:
        return below[0]
    if path.is_dir() and _holds([whole.parent], tables):
        raise SourceError(f"{path} has no table {tables[0]}, but {whole.parent} has: name the folder above.")
    return Places(path, here)


def _below(path: Path, tables: Sequence[str], parts: Collection[str]) -> Iterator[Places]:
    for name, folders, _ in os.walk(path):
        folder = Path(name)
        folders.sort()
        here = [folder, *_parts(folder, parts)]
        if folder != path and _holds(here, tables):
            folders.clear()
            yield Places(folder, here, [f"The tables of {path} are those of {folder}"])
        elif len(folder.relative_to(path).parts) == _LEVELS:
            folders.clear()


def _parts(folder: Path, parts: Collection[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.name.lower() in parts and one.is_dir())


def _holds(folders: Sequence[Path], tables: Sequence[str]) -> bool:
    return any(find_files(folder, table) for folder in folders for table in tables)
