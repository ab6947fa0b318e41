"""Text models by name."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from cohorts.commands.output.plain_table import PlainTable, show
from cohorts.reports import published


def show_models(models: Iterable[Mapping[str, str]]) -> None:
    """Print the text models by name to stdout: what each suits, what was published of it, whether it is here."""
    for suits, group in groupby(models, lambda one: one["suits"]):
        table = PlainTable(f"for {suits}", collapse_padding=True)
        for name in ("--encoder, and its id", "size", "published", "cached"):
            table.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
        for one in group:
            names = f"{one['spec']}\n{one['hub_id']}"
            score = published.of_checkpoint(one["hub_id"])
            table.add_row(names, one["parameters"], score.printed if score else "", one["cached"])
        show(table)
