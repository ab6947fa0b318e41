"""How far a long work has come, told to whoever waits for it."""

from typing import Protocol


class ProgressCallback(Protocol):
    """Called with a stage's name, the units it has just done, and, where it can be told, how many there will be."""

    def __call__(self, stage: str, units: int, expected: int | None = None, /) -> None:
        """Take the news."""
        ...


def silent(stage: str, units: int, expected: int | None = None, /) -> None:
    """Tell nobody."""
