"""Text of others on its way to people: nothing in it moves a cursor, sets a colour, reorders a line or is a formula."""

import json
import re
from typing import Any

# Control characters, marks that change the direction or can't be seen, line separators, lone surrogates.
_UNSEEN = (
    "\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff"
)
_HIDDEN = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_HIDDEN_IN_JSON = re.compile(f"[{_UNSEEN}]")  # JSON escapes the others itself
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠\t\r]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with every character that is not seen as its number, as in \\x1b; with `lines`, but for \\n."""
    if lines:
        return "\n".join(map(printable, text.split("\n")))
    return _HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)


def csv_cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet takes for a formula: text alone is changed, by a ' before it."""
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{printable(text)}" if _FORMULA.match(text) else printable(text)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON that reads back exactly; what is not seen stands there as its number."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _HIDDEN_IN_JSON.sub(_as_number, text)


def _as_number(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]
