"""The tutorials run as they stand there, and show what they show."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = sorted((Path(__file__).resolve().parents[2] / "docs" / "tutorials").glob("*.ipynb"))
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")  # another processor adds up otherwise


def outputs(notebook: Any) -> list[list[str]]:
    """Return what every cell of code shows."""
    return [[_text(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def _text(output: Any) -> str:
    data = output.get("data", {})
    return _DECIMALS.sub(r"\1", data.get("text/html") or data.get("text/plain") or output.get("text", ""))


def test_there_are_two_of_them() -> None:
    assert [file.stem for file in TUTORIALS] == ["notes", "records"]


@pytest.mark.parametrize("file", TUTORIALS, ids=[file.stem for file in TUTORIALS])
def test_a_tutorial_runs_and_shows_what_it_was_saved_with(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    saved, ran = (nbformat.read(file, as_version=4) for _ in range(2))  # type: ignore[no-untyped-call]
    NotebookClient(
        ran, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert outputs(ran) == outputs(saved)
    shown = "\n".join(text for cell in outputs(saved) for text in cell)
    assert "synthetic: invented patients, no clinical meaning" in shown
    assert str(tmp_path.home()) not in file.read_text()  # no folder of whoever ran it last
