"""What a user sets once: store, collection and encoder, in the environment or a TOML file.

The command line goes before the environment, the environment before the file, the file before the default.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cohorts.errors import InputError

KEYS = ("store", "collection", "encoder")
LOCAL_FILE = Path("cohorts.toml")  # of the working folder; goes before the user's own


def variable(key: str) -> str:
    """Return the environment variable of a key."""
    return f"COHORTS_{key.upper()}"


def user_file() -> Path:
    """Return the place of the user's own file, whether it is there or not."""
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    folder = named if named.is_absolute() else Path(os.path.expanduser("~/.config"))  # noqa: PTH111 - never raises
    return folder / "cohorts" / "config.toml"


def from_file(options: Sequence[Any]) -> dict[str, Any]:
    """Return values, by parameter, for those options of a command that may be configured. Raises InputError."""
    keys = {option.name: key for option in options for key in KEYS if option.envvar == variable(key)}
    values = read()[1] if keys else {}
    return {name: values[key] for name, key in keys.items() if key in values}


def read() -> tuple[Path | None, dict[str, str]]:
    """Return the file that counts, and what it sets; None and nothing where there is no file. Raises InputError."""
    for file in (LOCAL_FILE, user_file()):
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InputError(
                f"The configuration {file} can't be read: {error.strerror}. Make it readable, or move it away."
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"The configuration {file} is not UTF-8. Save it as UTF-8, or delete it."
            ) from error
        return file, _parse(text, file)
    return None, {}


def _parse(text: str, file: Path) -> dict[str, str]:
    import tomllib

    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            f"The configuration {file} is no TOML: {error}. Correct it, or delete it."
        ) from error
    for key, value in values.items():
        if key not in KEYS:
            wrong = f"has the unknown key {key!r}; the keys are {', '.join(KEYS)}"
        elif not isinstance(value, str) or not value.strip():
            wrong = f'must give {key} as text in quotes, as in {key} = "…"'
        else:
            continue
        raise InputError(f"The configuration {file} {wrong}. Correct it, or leave it out.")
    return values
