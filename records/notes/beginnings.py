"""Where the matches of many patterns may begin, told by the first letters there: few places of a note are worth a try.

The letters are derived from the patterns themselves, by partial matches of the library `regex`: what they leave out can
begin no match.
"""

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cohorts.records.notes.places import Note

_LOOKED_AT = 3  # characters; of letters and blanks more
_LONGEST, _FEW = 6, 12  # so many, while no more signs may follow
_SIGNS = [chr(code) for code in range(128) if not chr(code).isupper()]
_ALIKE = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x1f123456789")  # much as a blank or 0 is to patterns
_ON = frozenset(string.ascii_lowercase + " ")
_NUMBER_SIGN = re.compile(r"#(?<=\w#)")
_OTHER = r"(?![\x00-\x7f])"  # of other alphabets all are tried


class Beginnings:
    """The places at which patterns are worth a try: behind no letter, digit or underscore, or at a number sign.

    The patterns ignore case, and none begins elsewhere.
    """

    def __init__(self, patterns: Mapping[int, Any]) -> None:
        self._tried = _tried(patterns)
        leaves = [one for one in self._tried if not any(one + sign in self._tried for sign in _SIGNS)]
        self._places = re.compile(rf"[^0-9a-z_](?=({_tree(leaves, first=True)}))")

    def places(self, note: Note) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield them in order, each with the numbers of the patterns."""
        places = [(found.start(), found[1]) for found in self._places.finditer(note.folded)]
        if "#" in note.text:
            places = sorted([*places, *((found.start(), "#") for found in _NUMBER_SIGN.finditer(note.text))])
        for place, letters in places:
            yield place, self._tried[letters if letters in self._tried else letters[:-1]]


def _tried(patterns: Mapping[int, Any]) -> Mapping[str, Sequence[int]]:
    """Return the numbers of the patterns that may go on behind letters, and of those that begin with them."""
    tried: dict[str, tuple[int, ...]] = {"": tuple(patterns)}
    level = [""]
    while level:
        longer = []
        for letters in level:
            found: dict[str, list[tuple[int, Any]]] = {}
            for sign in _SIGNS:
                matches = (
                    (number, patterns[number].match(letters + sign, partial=True))
                    for number in tried[letters]
                )
                if one := [(number, match) for number, match in matches if match]:
                    found[sign] = one
            if len(letters) >= _LOOKED_AT and len(found.keys() - _ALIKE) > _FEW:
                continue
            for sign, one in found.items():
                tried[letters + sign] = tuple(number for number, _ in one)
                longest = _LONGEST if _ON.issuperset(letters + sign) else _LOOKED_AT
                if len(letters) + 1 < longest and all(match.partial for _, match in one):
                    longer.append(letters + sign)
        level = longer
    return tried


def _tree(leaves: Sequence[str], *, first: bool = False) -> str:
    """Return a pattern for any of the strings; it goes through them letter by letter."""
    if leaves == [""]:
        return ""
    rests: dict[str, list[str]] = {}
    for leaf in leaves:
        rests.setdefault(leaf[0], []).append(leaf[1:])
    signs: dict[str, list[str]] = {}
    for sign, rest in rests.items():
        signs.setdefault(_tree(rest), []).append(re.escape(sign))
    branches = [(one[0] if len(one) == 1 else f"[{''.join(one)}]") + behind for behind, one in signs.items()]
    other = _OTHER + (r"[\w\s]" if first else ".")  # none begins with a sign of another alphabet
    return f"(?:{'|'.join([*branches, other])})"
