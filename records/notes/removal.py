"""Placeholders, dates and hospital numbers taken out of plain (ASCII) texts, many at a time.

The patterns are those of cleaning.py, and what they match is what `placeholders`, `timestamps` and `hospital_numbers`
take out. Numpy, which leaves the interpreter lock, tells the few places where a match can begin, or the few lines that
may hold one: a pattern is tried nowhere else. But for placeholders no match goes over the end of a line, and many
blanks count no more than one.
"""

import re
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from cohorts.records.notes.cleaning import HOSPITAL_NUMBER, MONTH_FIRST, NUMBER_FIRST

Signs = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

ROOM = 8  # newlines around the texts: what stands near a sign is read without a look at where they end
_BLANK = ord(" ")
_BLANKS_READ = 16  # between two words before the pattern is asked


def remove_from_plain(signs: Signs, starts: Places, is_plain: Flags) -> None:
    """Put blanks where placeholders, dates, times and numbers stand that a word before them tells; changes `signs`.

    `signs` (b,) are the texts, a newline between two and `ROOM` of them around all; `starts` (n + 1,) is where each
    begins, and what is behind the last. Only those that are plain, (n,), are changed.
    """

    def wanted(places: Places) -> Places:
        chosen: Places = places if is_plain.all() else places[is_plain[_text_of(places, starts)]]
        return chosen

    _put_blanks(signs, *_placeholders(signs, starts, wanted))
    text = signs.tobytes().decode("latin-1")
    matches = (NUMBER_FIRST.match(text, place) for place in wanted(_number_starts(signs)).tolist())
    _put_blanks(signs, *_apart(found.span() for found in matches if found is not None))
    for pattern, places in ((MONTH_FIRST, _comma_years), (HOSPITAL_NUMBER, _told_numbers)):
        _put_blanks(signs, *_apart(_found_in_lines(signs, pattern, wanted(places(signs)))))


def _text_of(places: Places, starts: Places) -> Places:
    return np.searchsorted(starts, places, side="right") - 1


def _put_blanks(signs: Signs, starts: Places, ends: Places) -> None:
    many = ends - starts
    signs[np.arange(many.sum()) + np.repeat(starts - (np.cumsum(many) - many), many)] = _BLANK


def _apart(spans: Iterable[tuple[int, int]]) -> tuple[Places, Places]:
    """Return where spans start and end, which rise by their start, less those that start within one that is kept."""
    starts, ends, last = list[int](), list[int](), 0
    for start, end in spans:
        if start >= last:
            starts.append(start)
            ends.append(end)
            last = end
    return np.array(starts, np.intp), np.array(ends, np.intp)


def _placeholders(signs: Signs, starts: Places, wanted: Callable[[Places], Places]) -> tuple[Places, Places]:
    """Return where the placeholders of the texts start and end: with the first **] of their text."""
    star = signs == ord("*")
    stars = star[:-1] & star[1:]
    opened = wanted(np.flatnonzero((signs[:-2] == ord("[")) & stars[1:]))
    closed = np.append(np.flatnonzero(stars[:-1] & (signs[2:] == ord("]"))), len(signs))
    ends = closed[np.searchsorted(closed, opened + 3)]
    closes = _text_of(ends, starts) == _text_of(opened, starts)
    opened, ends = opened[closes], ends[closes] + 3
    if (opened[1:] < ends[:-1]).any():
        return _apart(zip(opened.tolist(), ends.tolist(), strict=True))
    return opened, ends


def _found_in_lines(signs: Signs, pattern: re.Pattern[str], places: Places) -> Iterable[tuple[int, int]]:
    """Yield what the pattern matches in every line that has one of the places, which rise."""
    text = signs.tobytes().decode("latin-1") if len(places) else ""
    end = 0
    for place in places.tolist():
        if place >= end:
            start, end = text.rfind("\n", 0, place) + 1, text.index("\n", place)
            yield from (found.span() for found in pattern.finditer(text, start, end))


def _codes(signs: str) -> Flags:
    table = np.zeros(256, np.bool_)
    table[[*signs.encode("latin-1")]] = True
    return table


def _run(letters: str) -> int:
    """Return what letters in a row are as one number."""
    return int.from_bytes(letters.encode("ascii"), "big")


_PLAIN = "".join(map(chr, range(128)))
_GAPS = _codes("".join(sign for sign in _PLAIN if sign.isspace() and sign != "\n"))
_IN_WORDS = _codes("".join(sign for sign in _PLAIN if sign.isalnum() or sign == "_"))
_AFTER_NUMBER = _GAPS | _codes("-/:")
_MONTH_STARTS = _codes("adfjmnosADFJMNOS")
_MONTH_TAILS = np.array(
    [_run(two) for two in ("an", "eb", "ar", "pr", "ay", "un", "ul", "ug", "ep", "ct", "ov", "ec")]
)
_NEXT_WORDS = np.array([_run(two) for two in ("no", "nu", "re")])
# What unit, accession, account, visit and clip end in.
_TELLING = np.array([_run(three) for three in ("nit", "ion", "unt", "sit", "lip")])


def _digits(signs: Signs, places: Places) -> Flags:
    return (signs[places] - np.uint8(ord("0"))) < 10


def _letters(signs: Signs, places: Places, many: int) -> npt.NDArray[np.int64]:
    """Return the signs from each place on, in lower case if they are letters, as one number."""
    made = np.zeros(len(places), np.int64)
    for more in range(many):
        made = made << 8 | (signs[places + more] | 32)
    return made


def _number_starts(signs: Signs) -> Places:
    """Return every place where `NUMBER_FIRST` can match: the start of digits, by how many they are and what follows."""
    is_digit = (signs - np.uint8(ord("0"))) < 10
    edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    maybe = _AFTER_NUMBER[signs[ends]] & (ends - starts <= 4)
    starts, ends = starts[maybe], ends[maybe]
    sign, many = signs[ends], ends - starts
    number_follows = _digits(signs, ends + 1)
    slash, short = ord("/"), many <= 2
    is_date = (sign == ord("-")) & (many == 4) & number_follows
    is_date |= (
        (sign == slash) & short & number_follows & ((signs[ends + 2] == slash) | (signs[ends + 3] == slash))
    )
    is_time = (sign == ord(":")) & short & number_follows & _digits(signs, ends + 2)
    is_day = _GAPS[sign] & short
    is_day[is_day] = _month_follows(signs, ends[is_day])
    can_begin: Places = starts[(is_date | is_time | is_day) & ~_IN_WORDS[signs[starts - 1]]]
    return can_begin


def _month_follows(signs: Signs, gaps: Places) -> Flags:
    """Return before which gaps the name of a month may begin; where many blanks follow, it may."""
    places = gaps.copy()
    for _ in range(_BLANKS_READ):
        blank = _GAPS[signs[places]]
        if not blank.any():
            break
        places += blank
    begins = _MONTH_STARTS[signs[places]] & np.isin(_letters(signs, places + 1, 2), _MONTH_TAILS)
    return begins | _GAPS[signs[places]]


def _comma_years(signs: Signs) -> Places:
    """Return the commas between two numbers, the second of four digits: every match of `MONTH_FIRST` has one."""
    places = np.flatnonzero(signs == ord(","))
    places = places[_digits(signs, places - 1)]
    gap = _GAPS[signs[places + 1]]
    year = places + 1 + gap
    return places[_digits(signs, year) & _digits(signs, year + 3) | gap & _GAPS[signs[year]]]


def _told_numbers(signs: Signs) -> Places:
    """Return places in every line where `HOSPITAL_NUMBER` can match: mrn, medical record, and unit # or unit no."""
    small = signs | 32
    mrn = np.flatnonzero((small[:-2] == ord("m")) & (small[1:-1] == ord("r")) & (small[2:] == ord("n")))
    gap = (signs <= _BLANK) & (signs != ord("\n"))  # or a control sign that is none: the pattern is asked
    words = np.flatnonzero(gap[:-1] & ((small[1:] == ord("n")) | (small[1:] == ord("r")))) + 1
    words = words[np.isin(_letters(signs, words, 2), _NEXT_WORDS)]
    number, far = small[words] == ord("n"), gap[words - 2]  # far: behind several blanks
    number &= far | np.isin(_letters(signs, words - 4, 3), _TELLING)
    record = (far | (small[words - 2] == ord("l"))) & (_letters(signs, words, 4) == _run("reco"))
    signed = np.flatnonzero(signs == ord("#"))
    before = signed - gap[signed - 1]
    signed = signed[gap[before - 1] | np.isin(_letters(signs, before - 3, 3), _TELLING)]
    return np.sort(np.concatenate([mrn, words[number | record], signed]))
