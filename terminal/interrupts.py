"""How a command ends that is interrupted: by one message and exit code 130, wherever it was."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from types import FrameType
from typing import Any

from cohorts.terminal import log

EXIT_CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.05


@contextmanager
def interruptible(tell: Callable[[BaseException], None]) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block alike: what is open is closed, then it is told in one message.

    A second signal ends the process at once. `tell` is called with an error that nobody can catch, of a destructor or
    of a thread that is not ours; Python would print its traceback. Once the block has ended, its result is told, and
    signals change nothing any more.
    """
    interrupted = _Interrupted()
    handled = [one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN]  # nohup ignores one
    before = {number: signal.signal(number, interrupted.handle) for number in handled}
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = threading.excepthook = _hook(interrupted, tell)
    atexit.register(_ignore_signals)
    try:
        yield
    except BaseException as error:
        if not interrupted.by:
            raise
        interrupted.tell()
        raise SystemExit(EXIT_CODE) from error
    finally:
        _flush()
        sys.unraisablehook, threading.excepthook = hooks
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interrupted:
    """By which signal a command was interrupted, '' for none."""

    def __init__(self) -> None:
        self.by = ""
        self._process = os.getpid()

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal handlers are called
        """Raise KeyboardInterrupt, so that all that is open is closed; at the second signal, end at once."""
        if os.getpid() != self._process:  # a child that was forked ends as any process does
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.by:
            with suppress(RuntimeError):  # it came in the midst of a write to stderr
                self.tell()
            os._exit(EXIT_CODE)
        else:
            self.by = signal.Signals(number).name
            for (
                child
            ) in active_children():  # else they would be waited for; Ctrl-C at a terminal reaches them too
                child.terminate()
            raise KeyboardInterrupt

    def again(self) -> None:
        """Send the signal once more: what it raised was raised where nothing can be."""
        number, self.by = signal.Signals[self.by], ""
        threading.Timer(_AGAIN_S, os.kill, (self._process, number)).start()

    def tell(self) -> None:
        """Say so."""
        said = f"Interrupted by {self.by}. What was acknowledged stays; where a command takes --resume, it goes on."
        log.say("error", said, exit_code=EXIT_CODE)


def _hook(interrupted: _Interrupted, tell: Callable[[BaseException], None]) -> Callable[[Any], None]:
    def hook(failed: Any) -> None:
        if isinstance(failed.exc_value, KeyboardInterrupt) and interrupted.by:
            interrupted.again()
        elif isinstance(failed.exc_value, Exception):
            tell(failed.exc_value)

    return hook


def _flush() -> None:
    """Write out what was printed, here and not at the interpreter's end: its reader may be gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
