"""A hook of mkdocs: every notebook below `docs/` is a page, with the outputs that it was saved with."""

import json
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a page in the place of each notebook."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
            uri = str(PurePosixPath(file.src_uri).with_suffix(".md"))
            files.append(File.generated(config, uri, content=to_markdown(json.loads(file.content_string))))
    return files


def to_markdown(notebook: dict[str, Any]) -> str:
    """Return a notebook's cells and outputs as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        text = _joined(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output" markdown="0">\n{_joined(data["text/html"])}\n</div>'
    text = _joined(output.get("text") or data.get("text/plain", ""))
    return f"```text\n{text.rstrip()}\n```"


def _joined(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
