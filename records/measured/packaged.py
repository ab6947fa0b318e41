"""The tables that come with this package: CSV, one header, every cell text."""

import csv
from importlib.resources import files


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table beside this module, by column."""
    text = files("cohorts.records.measured").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
