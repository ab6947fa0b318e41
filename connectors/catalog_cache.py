"""Definitions of collections that a server keeps, remembered for a while: a query pays no second round trip."""

import time
from collections.abc import Callable

from cohorts.connectors.base import Collection

KEEP_S = 30.0


class CatalogCache:
    """Looks a definition up by a collection's name or alias; what is older than half a minute is looked up again."""

    def __init__(self, look_up: Callable[[str], Collection]) -> None:
        self._look_up = look_up
        self._kept: dict[str, tuple[float, Collection]] = {}

    def of(self, name: str) -> Collection:
        """Return the definition. Raises what looking it up raises."""
        now = time.monotonic()
        kept = self._kept.get(name)
        if kept is None or now - kept[0] > KEEP_S:
            kept = self._kept[name] = (now, self._look_up(name))
        return kept[1]

    def forget(self) -> None:
        """Look everything up anew."""
        self._kept.clear()
