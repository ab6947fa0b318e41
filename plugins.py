"""What other packages bring by entry points: found by group and name, and checked to be what is expected."""

from typing import TypeVar

from cohorts.errors import CohortsError

T = TypeVar("T")


def plugin_names(group: str) -> set[str]:
    """Return the names that packages which are installed bring in a group."""
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group=group)}


def plugin(group: str, name: str, kind: type[T], error: type[CohortsError]) -> T | None:
    """Return what a package brings by a name, None where none does. Raises `error` where it is of another kind."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=group, name=name):
        found = entry.load()
        if not isinstance(found, kind):
            raise error(
                f"The entry point {name} = {entry.value} is no {kind.__name__}: {type(found).__name__}."
            )
        return found
    return None
