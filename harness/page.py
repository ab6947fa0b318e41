"""A measurement's folder: the page, the tables it is made from, and the manifest beside them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.loaders.manifest import write_manifest


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
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables:
        frame.to_csv(folder / f"{name}.csv", index=False)
    write_manifest(folder / "manifest.json", manifest)
    report = folder / "report.html"
    report.write_text(page, encoding="utf-8")
    return report
