"""Files of text as they come: packed or not, in UTF-8, UTF-16 with its mark, or here and there in Windows-1252."""

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO, cast

PACKED: Mapping[str, Callable[[Path], BinaryIO]] = {
    ".gz": lambda path: cast(BinaryIO, gzip.GzipFile(path)),
    ".bz2": lambda path: cast(BinaryIO, bz2.BZ2File(path)),
    ".xz": lambda path: cast(BinaryIO, lzma.LZMAFile(path)),  # noqa: SIM115 - who opens it closes it
}
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Fallback:
    """Decodes the bytes that are no UTF-8 as Windows-1252 (the five that it lacks: U+FFFD), and counts them."""

    count = 0

    def __call__(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.count += error.end - error.start
        return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


fallback = _Fallback()
ERRORS = "cohorts-cp1252"  # how bytes that are no UTF-8 are decoded
codecs.register_error(ERRORS, fallback)


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, unpacked where its name says that it is packed."""
    unpack = PACKED.get(path.suffix.lower())
    return unpack(path) if unpack else path.open("rb")


def open_utf8(path: Path) -> BinaryIO | None:
    """Open a file of text, unpacked, behind a mark of UTF-8; return None for one in UTF-16."""
    stream = open_bytes(path)
    begins = stream.read(len(codecs.BOM_UTF8))
    if begins != codecs.BOM_UTF8:
        stream.close()
        stream = open_bytes(path)
    if not begins.startswith(_MARKS):
        return stream
    stream.close()
    return None


def open_text(path: Path) -> TextIO:
    """Open a file of text, unpacked; bytes that are no UTF-8 are read as Windows-1252, and counted by `fallback`.

    What is read raises UnicodeError where text in UTF-16 is damaged.
    """
    with open_bytes(path) as stream:
        marked = stream.read(2) in _MARKS
    raw = open_bytes(path)
    if marked:
        return io.TextIOWrapper(raw, encoding="utf-16", newline="")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors=ERRORS, newline="")


def plain_suffix(path: Path) -> str:
    """Return the end of a file's name, in lower case, without that of its packing: .csv of N.CSV.gz."""
    return Path(path.stem if path.suffix.lower() in PACKED else path.name).suffix.lower()
