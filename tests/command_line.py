"""Commands as a user types them, run in this process."""

import shlex

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
