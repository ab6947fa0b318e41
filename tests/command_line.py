"""Commands as a user types them, run in this process, or each in one of its own.

A process that begins anew takes 1.5 to 10 s of a core to load its libraries; one that has loaded them forks here.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from cohorts import cli
from cohorts.commands.hints import told
from cohorts.errors import CohortsError
from typer.testing import CliRunner


def run(command: str) -> tuple[int, str, str]:
    """Run a command of `cohorts` in this process; return exit code, stdout, stderr."""
    result = CliRunner().invoke(cli.app, shlex.split(command))
    if isinstance(result.exception, CohortsError):
        return result.exception.exit_code, result.stdout, told(result.exception)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def ok(command: str) -> str:
    code, out, err = run(command)
    assert code == 0, (command, err)
    return out


def refused(command: str) -> str:
    code, out, err = run(command)
    assert code == 2, (command, out)
    assert out == ""
    return err


# What is read from stdin is the starter's alone; a command that were to read it would take the next one's line.
STARTER = """
import gc, json, os, sys
{before}
from cohorts.cli import main
gc.freeze()  # what is shared stays so: a child that counts in it would copy it
for line in sys.stdin:
    first, arguments, out, err = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for stream, name in ((1, out), (2, err)):
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
exec(first)
sys.argv = ["cohorts", *arguments]
main()
"""


class Ended(NamedTuple):
    """What a command left: its exit code (below 0: the signal that ended it) and what it told."""

    code: int
    out: bytes
    err: bytes


class Forked:
    """Starts commands one after the other in `folder`; a context manager, which ends the process that forks them.

    `before` is Python that runs once, as imports of what the commands share; `env` is what the environment has besides.
    """

    def __init__(self, folder: Path, before: str, env: Mapping[str, str] | None = None) -> None:
        self.folder, self._told = folder, folder / ".told"
        self._told.mkdir(exist_ok=True)
        self._starter = subprocess.Popen(
            [sys.executable, "-c", STARTER.format(before=before)],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, command: str | Iterable[str], first: str = "") -> int:
        """Start a command, behind the Python in `first`, and return the id of its process."""
        arguments = shlex.split(command) if isinstance(command, str) else [*command]
        told = [str(self._told / name) for name in ("out", "err")]
        assert self._starter.stdin is not None
        print(json.dumps([first, arguments, *told]), file=self._starter.stdin, flush=True)
        return self._number()

    def wait(self) -> Ended:
        """Return what the command that was started left when it ended."""
        return Ended(self._number(), *((self._told / name).read_bytes() for name in ("out", "err")))

    def run(self, command: str | Iterable[str], first: str = "") -> Ended:
        """Run a command to its end."""
        self.start(command, first)
        return self.wait()

    def _number(self) -> int:
        assert self._starter.stdout is not None
        return int(self._starter.stdout.readline())

    def end(self) -> None:
        self._starter.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
