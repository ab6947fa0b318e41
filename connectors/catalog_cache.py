"""What a server keeps of its collections, remembered for a while: a query pays no second round trip."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

KEEP_S = 30.0
T = TypeVar("T")


class CatalogCache(Generic[T]):
    """Looks a collection up by its name or alias; what is older than half a minute is looked up again."""

    def __init__(self, look_up: Callable[[str], T]) -> None:
        self._look_up = look_up
        self._kept: dict[str, tuple[float, T]] = {}

    def of(self, name: str) -> T:
        """Return what is known of a collection. Raises what looking it up raises."""
        now = time.monotonic()
        kept = self._kept.get(name)
        if kept is None or now - kept[0] > KEEP_S:
            kept = self._kept[name] = (now, self._look_up(name))
        return kept[1]

    def forget(self) -> None:
        """Look everything up anew."""
        self._kept.clear()
