"""How a command ends that is interrupted: by one message and exit code 130, wherever it was."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from cohorts.commands.output import log
from cohorts.loaders.interrupt import SIGNALS, end_on_signals

EXIT_CODE = 130
_AGAIN_S = 0.05


@contextmanager
def interruptible(tell: Callable[[BaseException], None]) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block alike: what is open is closed, then it is told in one message.

    A second signal ends the process at once. `tell` is called with an error that nobody can catch, of a destructor or
    of a thread that is not ours; Python would print its traceback. Once the block has ended, its result is told, and
    signals change nothing any more.
    """
    end_on_signals()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interrupted = _Interrupted(before)
    for number, handler in before.items():
        if callable(handler):  # nohup has one ignored
            signal.signal(number, interrupted.handle)
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
    """By which signal a command was interrupted, '' for none; the first one is handled as it was before."""

    def __init__(self, before: Mapping[signal.Signals, Any]) -> None:
        self.by = ""
        self._before, self._process = before, os.getpid()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Let what is open be closed; at the second signal, end at once."""
        if os.getpid() != self._process:  # a child that was forked ends as any process does
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.by:
            with suppress(RuntimeError):  # it came in the midst of a write to stderr
                log.say("error", "Ended at once. The next run removes temporary files.", exit_code=EXIT_CODE)
            os._exit(EXIT_CODE)
        self.by = signal.Signals(number).name
        self._before[signal.Signals(number)](number, frame)

    def again(self) -> None:
        """Send the signal once more: what it raised was raised where nothing can be."""
        number, self.by = signal.Signals[self.by], ""
        threading.Timer(_AGAIN_S, os.kill, (self._process, number)).start()

    def tell(self) -> None:
        """Say so."""
        said = (
            f"Stopped as asked by {self.by}. Temporary files are removed, and what was finished stays; where the "
            "command has --resume, that goes on."
        )
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
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
