"""A measurement's folder: the page, the tables it is made from, and the manifest beside them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.extras import require
from cohorts.plain_text import csv_cell, printable
from cohorts.private_files import open_private, private_folder, write_private
from cohorts.provenance import write_manifest


def check_installed() -> None:
    """Raise MissingExtra where what makes pages is not there; it is loaded when one is made."""
    require("What reports are made with", "report")


def render(template: str, **values: Any) -> str:
    """Return the page that a template of `reports/templates` makes of these values."""
    return str(environment().get_template(template).render(**values))


def environment() -> Any:
    """Return what reads the templates: Jinja's, in which all values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("cohorts.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _seen(value: Any) -> Any:
    """Return a text without what is not seen; markup of the templates as it is."""
    return value if not isinstance(value, str) or hasattr(value, "__html__") else printable(value, lines=True)


def keep(
    folder: Path, page: str, manifest: Mapping[str, Any], tables: Iterable[tuple[str, pd.DataFrame]]
) -> Path:
    """Write report.html, manifest.json and a CSV file per table; return the page's path."""
    private_folder(folder)
    for name, frame in tables:
        texts = {str(one): frame[one].map(csv_cell) for one in frame.select_dtypes(["object", "str"])}
        with open_private(folder / f"{name}.csv") as stream:
            frame.assign(**texts).rename(columns=csv_cell).to_csv(stream, index=False)
    write_manifest(folder / "manifest.json", manifest)
    report = folder / "report.html"
    write_private(report, page)
    return report
