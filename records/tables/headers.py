"""What a message may say of a file's columns: without a header, its first line is the record of a patient.

A line is taken for a header where all of it looks like names (at most 40 characters and five words; a letter or _
first; a column may have no name) and where one of the columns that were asked for stands in it, or the file's own types
show that its names are no values. Else no name is shown.
"""

import re
from collections.abc import Iterable, Sequence

_NAME = re.compile(r"(?=.{1,40}$)[^\W\d][\w.:/#%()-]*( [\w.:/#%()-]+){0,4}")


def looks_like_name(text: str) -> bool:
    """Tell whether a text could name a column."""
    return bool(_NAME.fullmatch(text))


def folded(name: str) -> str:
    """Return a column's name as it is compared: whatever its case, and whatever its blanks or breaks of a line."""
    return " ".join(name.split()).casefold()


def listed(names: Sequence[str], asked: Iterable[str] = (), *, proven: bool = False) -> str:
    """Return the columns that a file has as a message may name them, to stand behind a colon.

    `asked` are the columns that were looked for, compared as `folded`; `proven`: the file itself shows that its names
    are no values, by columns of other types than text for one.
    """
    if not names:
        return "none"
    plain = {folded(name) for name in names} - {""}
    proven = proven or not plain.isdisjoint(map(folded, asked))
    if proven and all(map(looks_like_name, plain)):
        return ", ".join(names)
    many = f"{len(names):,} columns" if len(names) > 1 else "1 column"
    return f"{many}; the file seems to have no header, and its first line is not shown, for it may be of a patient"
