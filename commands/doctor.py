"""The command `doctor`: what is installed, and what a store can do."""

from typing import Annotated

from cohorts.commands.options import store_option
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands

app = Commands("Set up")


@app.command()
def doctor(
    store: Annotated[str | None, store_option(help="Show what the engine of this store can do.")] = None,
) -> None:
    """Show versions, engines and processor abilities, and what is missing with the command that installs it."""
    from cohorts.commands.output.collections import show_abilities
    from cohorts.commands.output.doctor import examine, show_findings
    from cohorts.connectors.registry import connect

    if store is None:
        show_findings(examine())
        return
    with connect(store) as connector:
        names = connector.collections()
        show_abilities(connector.abilities)
    log.say("note", f"The store answers. Collections: {', '.join(names) or 'none'}.")
