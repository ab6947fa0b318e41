"""The files that a path of vectors stands for: itself, the parts in a folder, or what a pattern finds."""

from pathlib import Path

from cohorts.errors import InputError
from cohorts.loaders.files.checks import readable

SUFFIX = ".parquet"
_PATTERN = set("*?[")
# Their log says which files are current; those that were deleted or replaced lie beside them.
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi"}


def part_files(path: Path) -> list[Path]:
    """Return the file, the Parquet files of a folder, or all that a pattern finds, in the order of their names.

    What jobs keep for themselves (_SUCCESS, _metadata, hidden files) is left out. Raises InputError where nothing is
    found, and for a folder whose files are not all of its rows, or more than them.
    """
    if not path.is_dir() and (path.exists() or not _PATTERN & set(str(path))):
        return [path]
    with readable(path):
        found = [path] if path.is_dir() else _found(path)
        for folder in {folder for one in found for folder in (one, *one.parents)}:
            _check_whole(folder)
        return sorted({part for one in found for part in (_in_folder(one) if one.is_dir() else [one])})


def _found(pattern: Path) -> list[Path]:
    whole = pattern.expanduser()
    if any("**" in part and part != "**" for part in whole.parts):  # from Python 3.13 on it would be a *
        raise InputError(f"{pattern} is no pattern: ** stands alone between two slashes, for folders.")
    there = list(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
    asked = set(whole.parts)
    found = [one for one in there if not any(map(_is_kept_by_a_job, {*one.parts} - asked))]
    if not found:
        raise InputError(f"{pattern} finds no file. A pattern is as 'folder/*{SUFFIX}', in quotes.")
    for folder in {folder for one in found for folder in (one, *one.parents)}:
        if "=" in folder.name and folder.name not in asked and folder.is_dir():
            raise _partitioned(pattern, folder)
    return found


def _in_folder(folder: Path) -> list[Path]:
    parts = sorted(one for one in folder.iterdir() if not _is_kept_by_a_job(one.name))
    for one in parts:
        if one.is_dir() and "=" in one.name:
            raise _partitioned(folder, one)
        if one.is_dir():
            raise InputError(
                f"{folder} holds a folder, {one.name}: only the files of one folder are taken for parts. Name that "
                f"folder, or the parts by a pattern: '{folder}/*/*{SUFFIX}'."
            )
        if one.suffix.lower() != SUFFIX:
            raise InputError(
                f"{folder} holds {one.name}, whose name does not end in {SUFFIX}: whether it is a part can't be told. "
                f"Name the parts by a pattern: '{folder}/*{SUFFIX}'."
            )
    if not parts:
        raise InputError(f"{folder} holds no file whose name ends in {SUFFIX}: there is nothing to load.")
    return parts


def _check_whole(folder: Path) -> None:
    """Raise InputError where the files of a folder are not the rows of what was written there."""
    if (folder / "_temporary").is_dir():
        raise InputError(
            f"{folder} holds _temporary: the job that writes there has not ended, or died. Wait, or run it again."
        )
    for log, kind in _TABLES.items():
        if (folder / log).is_dir():
            raise InputError(
                f"{folder} is a table of {kind}, whose log ({log}) says which of its files are current; the others "
                "hold rows that were deleted or replaced. cohorts does not read that log: write the table as plain "
                "Parquet, then load that."
            )


def _partitioned(asked: Path, folder: Path) -> InputError:
    column = folder.name.partition("=")[0]
    return InputError(
        f"{asked} is split into folders by {column}, whose values stand in the names of the folders alone: they are "
        f"not read. Write it without partitions, with {column} as a column."
    )


def _is_kept_by_a_job(name: str) -> bool:
    return name.startswith((".", "_")) and "=" not in name
