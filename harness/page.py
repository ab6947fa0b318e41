"""A measurement's folder: the page, the tables it is made from, and the manifest beside them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.loaders.manifest import write_manifest
from cohorts.private_files import open_private, private_folder, write_private


def render(template: str, **values: Any) -> str:
    """Return the page that a template of `harness/templates` makes of these values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cohorts.harness"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def keep(
    folder: Path, page: str, manifest: Mapping[str, Any], tables: Iterable[tuple[str, pd.DataFrame]]
) -> Path:
    """Write report.html, manifest.json and a CSV file per table; return the page's path."""
    private_folder(folder)
    for name, frame in tables:
        with open_private(folder / f"{name}.csv") as stream:
            frame.to_csv(stream, index=False)
    write_manifest(folder / "manifest.json", manifest)
    report = folder / "report.html"
    write_private(report, page)
    return report
