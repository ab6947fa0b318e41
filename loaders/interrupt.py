"""Ctrl-C, SIGTERM and a lost terminal end a load after the batches in hand; a second one ends it at once."""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_interrupt(stop: Event) -> Iterator[None]:
    """Set `stop` at the first signal; a second one ends at once. Signals reach the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()
        warnings.warn(
            "Stopping: the batches in hand are being written. Once more ends at once.", stacklevel=2
        )
        for one, handler in before.items():
            signal.signal(one, handler)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
