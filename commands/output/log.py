"""What is said on stderr besides tables: plain lines, or with `--log-format json` one JSON object a line."""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cohorts.plain_text import json_text, printable


class LogFormat(StrEnum):
    """How a run tells of itself on stderr."""

    TEXT = "text"
    JSON = "json"


_chosen = LogFormat.TEXT


def choose(form: LogFormat) -> None:
    """Say everything in this format from now on."""
    global _chosen
    _chosen = form


def is_json() -> bool:
    """Tell whether JSON was chosen."""
    return _chosen is LogFormat.JSON


def say(event: str, message: str, **facts: Any) -> None:
    """Say one thing: in text the message, after its event where that is an error or a warning."""
    if is_json():
        tell(event, message=message, **facts)
    else:
        head = "" if event == "note" else f"{event.capitalize()}: "
        sys.stderr.write(f"{head}{printable(message)}\n")


def tell(event: str, **facts: Any) -> None:
    """Write an event as a JSON object on a line of its own."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stderr.write(json_text({"time": now, "event": event, **facts}) + "\n")
    sys.stderr.flush()
