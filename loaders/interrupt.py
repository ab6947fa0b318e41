"""Ctrl-C and SIGTERM end a load after the batches in hand; a second one ends it at once."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType


@contextmanager
def stop_on_interrupt() -> Iterator[Event]:
    """Yield what is set at the first signal."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal handlers are called
        stop.set()
        warnings.warn(
            "Stopping: the batches in hand are being written. Once more ends at once.", stacklevel=2
        )
        for one, handler in before.items():
            signal.signal(one, handler)

    try:
        for number in before:
            signal.signal(number, ask)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
