"""The entry point of the command line: its groups of commands, and how errors and warnings of ours end."""

import gc
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated

import cohorts
import typer
from cohorts.commands import (
    bench,
    codes,
    collections,
    config,
    doctor,
    evaluate,
    ingest,
    live,
    query,
    train,
    transfer,
)
from cohorts.commands.analysis import cohort, compare, recruit
from cohorts.commands.hints import told
from cohorts.commands.output import log
from cohorts.commands.output.interrupts import interruptible
from cohorts.commands.sepsis import app as sepsis
from cohorts.commands.typer_app import Commands
from cohorts.errors import CohortsError

SHOW_ALL = "COHORTS_TRACEBACK"

app = Commands(help="Find patients like this one, on the vector database that you already run.")
for group in (ingest, train, transfer, query, compare, recruit, collections, live, codes, bench, doctor):
    app.add_typer(group.app)
app.add_typer(cohort.app, name="cohort", rich_help_panel="Cohorts")
app.add_typer(sepsis, name="sepsis", rich_help_panel="Cohorts")
app.add_typer(evaluate.app, name="evaluate", rich_help_panel="Measure")
app.add_typer(config.app, name="config", rich_help_panel="Set up")


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"cohorts {cohorts.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line; errors and warnings of ours are one message on stderr, never a traceback.

    Signals end it as an error does. What the engines write is its user's alone, as what we write is by itself.
    """
    os.umask(0o077)
    warnings.showwarning = lambda message, *_: log.say("warning", told(message))
    try:
        with interruptible(lambda error: log.say("warning", _withheld(error))):
            app()
    except CohortsError as error:
        log.say("error", told(error), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get(SHOW_ALL):
            raise
        log.say("error", _withheld(error), exit_code=1)
        sys.exit(1)
    finally:
        gc.freeze()  # or the interpreter looks for garbage in all that was loaded before it ends: .3 s of an ingest


def _withheld(error: BaseException) -> str:
    """Return what kind of error of our own it is, and where: its message may quote a record."""
    where = [
        f" in {Path(one.filename).name}, line {one.lineno} ({one.name})"
        for one in traceback.extract_tb(error.__traceback__)[-1:]
    ]
    return (
        f"cohorts failed with {type(error).__name__}{''.join(where)}. "
        "That should not happen: please report it. Its message is withheld, for it may quote a record; "
        f"{SHOW_ALL}=1 shows it."
    )
