"""What is said of points that could not be written."""

from typing import TYPE_CHECKING

import typer
from cohorts.commands.output import log

if TYPE_CHECKING:
    from cohorts.loaders.run import Run


def tell_rejected(run: "Run") -> None:
    """End with exit code 3 where points were left out."""
    if rejected := run.manifest.get("rejected"):
        log.say(
            "warning",
            f"{rejected:,} points could not be written; the ids and the reasons are in {run.rejected_file}.",
        )
        raise typer.Exit(3)
