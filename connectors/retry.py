"""One policy of retries for every server: again with growing, jittered pauses while the error may pass."""

import math
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

T = TypeVar("T")
FIRST_PATIENCE_S = 2.0  # a server that never answered is more likely a wrong address than a restart


class RetryPolicy:
    """Calls again what failed for a reason that may pass. Every call made through it must be idempotent."""

    def __init__(self, is_transient: Callable[[BaseException], bool], patience_s: float) -> None:
        self._may_pass, self._patience_s = is_transient, patience_s
        self._answered = False

    def call(
        self, once: Callable[[], T], failed: Callable[[], None] = lambda: None, at_most_s: float = math.inf
    ) -> T:
        """Return what `once` returns; after each failure that may pass, `failed` is told. Raises its last error."""
        try:
            result = once()
        except Exception as error:
            if not self._may_pass(error):
                raise
            failed()
            result = self._again(once, failed, at_most_s)
        self._answered = True
        return result

    def _again(self, once: Callable[[], T], failed: Callable[[], None], at_most_s: float) -> T:
        patience_s = self._patience_s if self._answered else FIRST_PATIENCE_S
        again = Retrying(
            retry=retry_if_exception(self._may_pass),
            wait=wait_random_exponential(multiplier=0.05, max=3),
            stop=stop_after_delay(min(patience_s, at_most_s)),
            before_sleep=lambda _: failed(),
            reraise=True,
        )
        return again(once)
