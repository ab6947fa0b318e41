"""What a file is by its first bytes, whatever its name says. Read as another kind, it is nonsense or raw bytes."""

import codecs
import lzma
import zlib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from cohorts.records.tables.text_files import PACKED, open_bytes

_HEAD_BYTES = 4_096
_GZIP = b"\x1f\x8b"
_PACKINGS = {".gz": (_GZIP, "gzip"), ".bz2": (b"BZh", "bzip2"), ".xz": (b"\xfd7zXZ", "xz")}
_UNPACK = "Unpack it."
_UTF16_MARKS, _UTF32_MARK = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), codecs.BOM_UTF32_LE
_AS_CSV = "Format its ids and codes as text, else 0389 becomes 389, then save its sheet as CSV, UTF-8."
_UTF16 = "text in UTF-16"

# What begins so, how it is called, and what to do with it; the first that fits.
_BEGINNINGS: Sequence[tuple[bytes, str, str]] = (
    (_GZIP, "a gzip file", "Unpack it, or let the name of a table end in .csv.gz."),
    (b"PAR1", "a Parquet file", "Let its name end in .parquet."),
    (b"\x89HDF\r\n", "an HDF5 file", "Let its name end in .hdf5."),
    (b"\x93NUMPY", "a NumPy file", "Let its name end in .npy."),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls) or an old Office document", _AS_CSV),
    (b"\xff\xfe\x00\x00", "text in UTF-32", "Save it as UTF-8."),
    (b"\x00\x00\xfe\xff", "text in UTF-32", "Save it as UTF-8."),
    (b"\xff\xfe", _UTF16, "Save it as UTF-8."),
    (b"\xfe\xff", _UTF16, "Save it as UTF-8."),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a rar archive", _UNPACK),
    (b"ARROW1", "an Arrow file", "Write it as Parquet."),
    (b"FEA1", "a Feather file", "Write it as Parquet."),
    (b"SQLite format 3", "an SQLite database", "Write its table as CSV."),
    (b"%PDF", "a PDF document", "Write its table as CSV."),
)
_OFFICE = (b"[Content_Types].xml", b"xl/", b"_rels/", b"docProps/", b"mimetypeapplication/vnd.oasis")


class Kind(Enum):
    """A kind of file that is read, and the bytes that it begins with, if there are such."""

    TEXT = "text file"
    TABLE = "table of text"
    CSV = "CSV file"
    PARQUET = "Parquet file"
    HDF5 = "HDF5 file"
    NPY = "NumPy file"


_OWN = {Kind.PARQUET: "a Parquet file", Kind.HDF5: "an HDF5 file", Kind.NPY: "a NumPy file"}


def foreign(path: Path, wanted: Kind) -> str:
    """Return what is to be said of a file that is of another kind than its reader wants; "" where it may be of it.

    A table whose name says that it is packed is looked into. Raises OSError.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    suffix = path.suffix.lower()
    if wanted is Kind.TABLE and suffix in PACKED and head:
        begins, name = _PACKINGS[suffix]
        if not head.startswith(begins):
            return f"{path} is no {name} file, though its name ends in {suffix}. Name it as what it is."
        return _said(path, _unpacked(path), wanted)
    return _said(path, head, wanted)


def _said(path: Path, head: bytes, wanted: Kind) -> str:
    if wanted is Kind.TABLE and head.startswith(_UTF16_MARKS) and not head.startswith(_UTF32_MARK):
        return ""
    found, advice = _kind(head)
    if found and found != _OWN.get(wanted):
        return f"{path} is no {wanted.value}: by its first bytes it is {found}. {advice}"
    return ""


def _unpacked(path: Path) -> bytes:
    try:
        with open_bytes(path) as stream:
            return stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):  # the reader says so when it comes there
        return b""


def _kind(head: bytes) -> tuple[str, str]:
    if head.startswith(b"PK\x03\x04"):
        if any(part in head for part in _OFFICE):
            return "an Excel workbook (.xlsx) or another Office document", _AS_CSV
        return "a zip archive", _UNPACK
    for beginning, name, advice in _BEGINNINGS:
        if head.startswith(beginning):
            return name, advice
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    line = head.partition(b"\n")[0]
    if b"\0" in line:
        half = len(line) // 2 - 1
        is_utf16 = max(line[::2].count(0), line[1::2].count(0)) >= half > 0
        return (_UTF16, "Save it as UTF-8.") if is_utf16 else ("a binary file", "Write it as CSV.")
    return "", ""
