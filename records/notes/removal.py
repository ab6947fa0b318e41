"""Dates, times and hospital numbers taken out of plain (ASCII) texts, many at a time.

The patterns are those of cleaning.py, and what they match is what `timestamps` and `hospital_numbers` take out. Numpy,
which leaves the interpreter lock, tells the few places where a match can begin, or the few lines that may hold one: a
pattern is tried nowhere else. No match goes over the end of a line, and blanks count no more than one blank.
"""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from cohorts.records.notes.cleaning import HOSPITAL_NUMBER, MONTH_FIRST, NUMBER_FIRST

Signs = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

ROOM = (
    8  # newlines around the texts: what stands near a sign can be read without a look at where the texts end
)
_BLANK = ord(" ")
_BLANKS_READ = 16  # between two words before the pattern is asked


def remove_dates_and_numbers(signs: Signs, wanted: Callable[[Places], Places]) -> None:
    """Put blanks where dates, times and numbers stand that a word before them tells; changes `signs`, (n,), in place.

    Texts stand one behind the other, a newline between two and `ROOM` of them around all. `wanted` leaves of some
    places, rising, those that are in texts to be changed; only these need be plain.
    """
    text = signs.tobytes().decode("latin-1")
    end = 0
    for place in wanted(_number_starts(signs)).tolist():
        found = NUMBER_FIRST.match(text, place) if place >= end else None
        if found is not None:
            end = found.end()
            signs[place:end] = _BLANK
    _remove_in_lines(signs, MONTH_FIRST, wanted(_comma_years(signs)))
    _remove_in_lines(signs, HOSPITAL_NUMBER, wanted(_told_numbers(signs)))


def _remove_in_lines(signs: Signs, pattern: re.Pattern[str], places: Places) -> None:
    """Put blanks where the pattern matches in a line that has one of the places, which rise."""
    if not len(places):
        return
    text = signs.tobytes().decode("latin-1")
    end = 0
    for place in places.tolist():
        if place >= end:
            start, end = text.rfind("\n", 0, place) + 1, text.index("\n", place)
            for found in pattern.finditer(text, start, end):
                signs[found.start() : found.end()] = _BLANK


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
    starts = np.flatnonzero(gap[:-1] & ((small[1:] == ord("n")) | (small[1:] == ord("r")))) + 1
    word = _letters(signs, starts, 2)
    number = np.isin(word, (_run("no"), _run("nu"))) & np.isin(_letters(signs, starts - 4, 3), _TELLING)
    record = (word == _run("re")) & (small[starts - 2] == ord("l"))
    far = gap[starts - 2] & np.isin(word, (_run("no"), _run("nu"), _run("re")))  # behind several blanks
    signed = np.flatnonzero(signs == ord("#"))
    before = signed - gap[signed - 1]
    signed = signed[gap[before - 1] | np.isin(_letters(signs, before - 3, 3), _TELLING)]
    return np.sort(np.concatenate([mrn, starts[number | record | far], signed]))
