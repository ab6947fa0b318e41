"""ICD codes of a table while it is read: written as MIMIC does, without a dot; those of impossible shape are bad."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.tables.leading_zeros import LeadingZeros

_SHAPE = {
    ("diagnosis", "ICD-9"): r"\d{3,5}|V\d{2,4}|E\d{3,4}",
    ("procedure", "ICD-9"): r"\d{2,4}",
    ("diagnosis", "ICD-10"): r"[^.]+",
    ("procedure", "ICD-10"): r"(?!\d{1,6}$)[^.]+",  # of seven characters, which a local code may not have
}
# A dot elsewhere, as in 4019.0, was made by a program that took the code for a number.
_DOT = {"diagnosis": r"^(\w{3}|E\d{3})\.(?=\w)", "procedure": r"^(\w\w)\.(?=\w)"}
BAD_ICD = (
    "an ICD code of impossible shape: has a program read codes as numbers and dropped their leading zeros? "
    "Then 389 may stand for 0389 in any row"
)


class IcdCheck:
    """Looks at the codes of one table, in its column `code`; `version` is 9, 10, or the column that tells which."""

    reason = BAD_ICD

    def __init__(self, kind: str, code: str, version: str = "9") -> None:
        self._kind, self._code, self._version = kind, code, version
        self._zeros = LeadingZeros()

    def see(self, rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
        """Return the rows with their codes as MIMIC writes them, and which are of impossible shape, (rows,)."""
        if not rows.num_rows:
            return rows, np.zeros(0, bool)
        # Few codes are distinct: what is done for each is done once.
        fixed = self._version in ("9", "10")
        pairs = rows.select([self._code, *([] if fixed else [self._version])])
        key, places, times = distinct(pairs)
        frame = key.to_pandas().rename(columns={self._code: "code"}).astype({"code": "str"})
        given = frame["code"].notna()
        frame["kind"] = self._kind
        frame["system"] = f"ICD-{self._version}" if fixed else system_of(frame[self._version])
        code = frame["code"].str.strip().str.upper().str.replace(_DOT[self._kind], r"\1", regex=True)
        frame["code"] = code.where(given)
        self._zeros.see(frame, times)
        wrong = is_impossible(frame)
        written = pa.array(frame["code"].where(given, None), pa.string(), from_pandas=True).take(
            pa.array(places)
        )
        column = rows.column_names.index(self._code)
        return rows.set_column(column, self._code, written), wrong[places]

    def warnings(self, table: str) -> list[str]:
        """Return what there is to say of the table."""
        return self._zeros.warnings(table)


def system_of(version: "pd.Series[str]") -> "pd.Series[str]":
    """Return the code system of MIMIC-IV's icd_version."""
    return "ICD-" + version


def is_impossible(codes: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which codes, by `kind`, `system` and `code`, no code of their classification can be, (n,)."""
    wrong = pd.Series(False, index=codes.index)
    for (kind, system), shape in _SHAPE.items():
        given = codes["kind"].eq(kind) & codes["system"].eq(system) & codes["code"].notna()
        wrong = wrong | (given & ~codes["code"].str.fullmatch(shape, na=False).astype(bool))
    return wrong.to_numpy(dtype=bool)


def distinct(rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the distinct rows of a table of few texts, where each row's stands, (rows,), and how often each comes."""
    codes: Any = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        known = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        codes = codes * (len(known.dictionary) + 1) + known.indices.to_numpy(zero_copy_only=False)
    _, first, places, times = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    return rows.take(pa.array(first)), places.reshape(-1), times
