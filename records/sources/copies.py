"""A private folder for what a source writes before it is read: tables of a database, or of documents."""

from pathlib import Path

from cohorts.errors import InputError
from cohorts.private_files import Scratch


class Copies:
    """A folder in `work_dir`, made when it is first asked for, and removed by `close` or at the end of the process."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._scratch: Scratch | None = None

    def __call__(self) -> Path:
        """Return the folder. Raises InputError where it can't be made."""
        if self._scratch is None:
            try:
                self._scratch = Scratch(self._work_dir)
            except OSError as error:
                raise InputError(
                    f"{self._work_dir} can't hold copies of the source's tables: {error}.",
                    remedy="Name another folder to work in.",
                    hint="another_run_dir",
                ) from error
        return self._scratch.folder

    def close(self) -> None:
        """Remove the folder, if there is one."""
        if self._scratch is not None:
            self._scratch.close()
