"""A package that brings a plug-in, as if a user had installed it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def own_package(
    folder: Path,
    module: str,
    code: str,
    group: str,
    points: Mapping[str, str],
    files: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Install a package of one module in a folder, with entry points of a group by name, and other files beside it."""
    for name, text in {f"{module}.py": code, **(files or {})}.items():
        (folder / name).write_text(text)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = (f"{name} = {module}:{called}" for name, called in points.items())
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop(module, None)
