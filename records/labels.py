"""Labels that came with a source: several may stand in one cell, between ; or |."""

import re

_SEVERAL = re.compile(r"[;|]")


def split_labels(text: str) -> list[str]:
    """Return the labels of a cell, case and blanks folded; `none` is none."""
    parts = (" ".join(part.lower().split()) for part in _SEVERAL.split(text))
    return [part for part in parts if part not in ("", "none")]
