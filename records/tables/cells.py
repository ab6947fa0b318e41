"""Cells of text as whole numbers, numbers, flags or nothing, in whichever way databases and programs write those."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.tables.plain_columns import Cells, null_where

# What databases and data frames put where nothing is, and nobody writes into a text.
_NO_TEXT = frozenset({"", r"\N", "NULL", "(null)", "<null>", "NaN", "nan", "NaT", "<NA>"})
# What R, Excel, Python, JSON, SAS and hands put there; an identifier, a code, a date or a number it is not.
_NO_VALUE = _NO_TEXT | {"NA", "N/A", "n/a", "#N/A", "None", "null", "-", "--", ".", "?"}
_YES, _NO = {"1", "true", "t", "yes", "y"}, {"0", "false", "f", "no", "n"}


def texts(cells: pa.Array) -> pa.Array:
    """Return the cells as they are, null where they say that nothing is there."""
    return _or_null(cells, Cells(cells), _NO_TEXT)


def plain_values(cells: pa.Array) -> pa.Array | None:
    """Return the cells as `values` does, None where one may have to be stripped."""
    signs = Cells(cells)
    return None if signs.may_be_stripped else _or_null(cells, signs, _NO_VALUE)


def _or_null(cells: pa.Array, signs: Cells, nothings: frozenset[str]) -> pa.Array:
    maybe = np.flatnonzero(signs.may_be_among(nothings))
    few = pc.utf8_trim_whitespace(cells.take(pa.array(maybe)))
    nothing = np.zeros(len(cells), np.bool_)
    nothing[maybe] = pc.is_in(few, pa.array(sorted(nothings), pa.string())).to_numpy(zero_copy_only=False)
    return null_where(cells, nothing) if nothing.any() else cells


def values(cells: "pd.Series[str]") -> "pd.Series[str]":
    """Return the cells of a column that holds no free text, stripped; missing where they say that nothing is there."""
    stripped = cells.str.strip()
    return stripped.mask(stripped.isin(_NO_VALUE))


def whole_numbers(values: "pd.Series[str]") -> "pd.Series[str]":
    """Return 105 of 105.0 and 105.00, which programs make of whole numbers; other values as they are."""
    return values.str.replace(r"^(-?[0-9]+)\.0*$", r"\1", regex=True)


def text_ids(values: "pd.Series[str]") -> "pd.Series[str]":
    """Return 105 of 105.0, as data frames write a whole number; other ids may have dots of their own, as in 1.10."""
    return values.str.replace(r"^(-?[0-9]+)\.0$", r"\1", regex=True)


def rounded(values: "pd.Series[str]") -> "pd.Series[bool]":
    """Tell which are whole numbers of which only the first digits are left, as in 1.05E+11: many become one."""
    return values.str.fullmatch(r"-?[0-9](?:\.[0-9]+)?[eE]\+[0-9]+", na=False).astype(bool)


def numbers(values: "pd.Series[str]") -> "pd.Series[float]":
    """Return float64, missing where there is no finite number."""
    fraction = pd.Series(["0.5"], dtype="str")  # among whole numbers alone, a long one is read in another way
    read = pd.to_numeric(pd.concat([values, fraction]), errors="coerce").astype("float64")[:-1]
    return read.where(np.isfinite(read))


def flags(values: "pd.Series[str]") -> "pd.Series[bool]":
    """Return boolean, missing where it is neither."""
    word = whole_numbers(values).str.casefold()
    return word.isin(_YES).astype("boolean").mask(~word.isin(_YES | _NO))
