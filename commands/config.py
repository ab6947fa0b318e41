"""The commands `config …`: what is set once, and where."""

from typing import Annotated

import typer
from cohorts.commands import configuration
from cohorts.commands.options import Name, Store, encoder_option
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands

app = Commands(help="Store, collection and encoder, set once for all commands.")


@app.command()
def show(
    ctx: typer.Context,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    encoder: Annotated[
        str | None,
        encoder_option(envvar=configuration.variable("encoder"), help="Encoder of ingest and fit."),
    ] = None,
) -> None:
    """Show store, collection and encoder, and where each value comes from."""
    from cohorts.commands.output.plain_table import PlainTable
    from cohorts.commands.output.plain_table import show as print_table
    from cohorts.encoders.registry import DEFAULT

    file, _ = configuration.read()
    shown = {
        "store": _without_secrets(store),
        "collection": collection,
        "encoder": encoder or f"{DEFAULT}, or what of it suits the source",
    }
    table = PlainTable()
    for column in ("setting", "value", "from"):
        table.add_column(column, no_wrap=True)
    for key, value in shown.items():
        source = ctx.get_parameter_source(key)
        told = {
            "COMMANDLINE": f"command line (--{key})",
            "ENVIRONMENT": f"environment ({configuration.variable(key)})",
            "DEFAULT_MAP": f"file {file}",
        }
        table.add_row(key, value, told.get(source.name if source else "", "default"))
    print_table(table)
    if file is None:
        places = f"./{configuration.LOCAL_FILE} and {configuration.user_file()}"
        log.say("note", f"No configuration file: looked for {places}.")


def _without_secrets(address: str) -> str:
    """Return a store's address without its settings, and without what stands before an @."""
    from cohorts.connectors.addresses import without_settings

    scheme, apart, rest = without_settings(address).rpartition("://")
    return f"{scheme}{apart}{rest.rpartition('@')[2] if apart else rest}"
