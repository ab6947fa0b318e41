"""Notes learnt from, kept by number: found by their text alone, in a file that has no name."""

import os
from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.features import kept_notes
from cohorts.encoders.features.kept_notes import KeptNotes, NotesRead, RowsRead, by_number

PLACES = {"edema": 0, "pain": 1, "ödem": 2}


def kept(folder: Path, *notes: tuple[str, str]) -> KeptNotes:
    """Return notes (text, its words line by line) as they are kept, a sentence of codes between each two."""
    read = NotesRead()
    with (folder / "corpus").open("w") as corpus:
        for text, words in notes:
            corpus.write(words)
            read.add(text, len(words.split()))
            corpus.write("icd-9:4019 edema\n")
            read.skip(2)
    made = KeptNotes(by_number(folder / "corpus", PLACES, folder), read)
    (folder / "corpus").unlink()
    return made


def found(notes: KeptNotes, *texts: str) -> list[list[int] | None]:
    return [None if places is None else places.tolist() for places in notes.find(texts)]


def test_notes_are_found_by_their_text_with_the_words_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_notes, "_READ_AT_ONCE", 20)
    notes = [
        ("A. Edema; pain!", "a\nedema pain\n"),
        ("none", "none\n"),
        ("***", "\n"),
        ("", ""),
        ("Ödem, edema", "ödem edema\n"),
    ]
    made = kept(tmp_path, *notes, notes[0])
    asked = ["Ödem, edema", "edema", "", "A. Edema; pain!", "***", "none"]
    assert found(made, *asked) == [[2, 0], None, [], [0, 1], [], []]
    assert found(made) == []
    assert found(kept(tmp_path), "edema") == [None]


def test_a_hash_that_is_alike_by_half_is_another_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_notes, "text_key", lambda text: bytes(8) + text.encode().ljust(8))
    made = kept(tmp_path, ("one", "edema\n"), ("two", "pain\n"))
    for text, places in (("one", [0]), ("two", [1]), ("three", None)):
        assert found(made, text) in ([places], [None])
    assert found(made, "three") == [None]


def test_the_file_has_no_name_and_is_closed_with_the_notes(tmp_path: Path) -> None:
    made = kept(tmp_path, ("one", "edema\n"))
    file = made._file
    about = os.fstat(file.fileno())
    assert (about.st_mode & 0o777, about.st_nlink, about.st_size) == (0o600, 0, 3 * 4)
    assert list(tmp_path.iterdir()) == []
    assert found(made, "one") == [[0]]
    del made
    assert file.closed


def test_rows_are_found_by_the_text_of_their_unit_with_the_columns_of_their_words(tmp_path: Path) -> None:
    read = RowsRead(tmp_path)
    numbers, counts = np.array([0, 2, 3, 1], np.int32), np.array([1, 5, 2, 4], np.int32)
    read.add(["both", "", "one"], numbers, counts, np.array([0, 3, 3, 4]))
    rows = read.kept(np.array([2, -1, 0, 1], np.int32), 3)
    del read
    known, found = rows.find(["one", "other", "both", ""])
    assert known.tolist() == [True, False, True, True]
    assert found.toarray().tolist() == [[0, 0, 0], [5, 2, 1], [0, 0, 0]]
    assert found.indices.tolist() == [0, 1, 2]
    known, found = rows.find(["other"])
    assert (known.tolist(), found.shape) == ([False], (0, 3))


def test_rows_that_nobody_keeps_close_their_file(tmp_path: Path) -> None:
    read = RowsRead(tmp_path)
    file = read._file
    assert list(tmp_path.iterdir()) == []
    del read
    assert file.closed
