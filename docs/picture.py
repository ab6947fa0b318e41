"""Draw what commands print as a picture: python docs/picture.py FILE.svg 'cohorts query …' …, in the demo's folder."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 92
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # they would be fetched from a server of others


def main(picture: Path, commands: list[str]) -> None:
    """Run the commands, as in a terminal of WIDTH columns, and write the picture of all they print."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for command in commands:
        shown = subprocess.run(  # noqa: S603 - the maker of the picture wrote them
            shlex.split(command),
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": str(WIDTH), "FORCE_COLOR": "1"},
        )
        console.print(f"[bold]$ {command}[/bold]", highlight=False)
        console.print(Text.from_ansi(shown.stdout))
    picture.write_text(_FONTS.sub("", console.export_svg(title="cohorts")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
