"""How a signal ends a command: Ctrl-C, SIGTERM and a lost terminal alike. What is under way ends as after an error."""

import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals() -> None:
    """Let every signal that would end the process raise KeyboardInterrupt, so that temporary files are removed.

    Under nohup, which ignores the end of a terminal, that stays so.
    """
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal handlers are called
    for child in _children():  # else they would be waited for; Ctrl-C at a terminal reaches them too
        child.terminate()
    raise KeyboardInterrupt


def _children() -> Iterable[Any]:
    """Return the processes that run for this one: none where nothing has loaded the module that starts them.

    It may be loaded in part: a signal may come in the midst of that.
    """
    processes = sys.modules.get("multiprocessing.process")
    children: Iterable[Any] = getattr(processes, "active_children", tuple)()
    return children


@contextmanager
def stop_on_interrupt(stop: Event) -> Iterator[None]:
    """Set `stop` at the first signal; a second one ends at once. Signals reach the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

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
