"""The tables while they are written: MIMIC-III's columns, rows numbered, whole columns at once.

INPUTEVENTS_CV is none of them: the hospital charts in one system, MetaVision.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cohorts.private_files import open_private
from pyarrow import csv

COLUMNS = {
    "PATIENTS": "SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG",
    "ADMISSIONS": "SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
    "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
    "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    "DIAGNOSES_ICD": "SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "PROCEDURES_ICD": "SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "PRESCRIPTIONS": "SUBJECT_ID HADM_ID ICUSTAY_ID STARTDATE ENDDATE DRUG_TYPE DRUG DRUG_NAME_POE "
    "DRUG_NAME_GENERIC FORMULARY_DRUG_CD GSN NDC PROD_STRENGTH DOSE_VAL_RX DOSE_UNIT_RX FORM_VAL_DISP "
    "FORM_UNIT_DISP ROUTE",
    "NOTEEVENTS": "SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT",
    "LABEVENTS": "SUBJECT_ID HADM_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM FLAG",
    "ICUSTAYS": "SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID "
    "LAST_WARDID INTIME OUTTIME LOS",
    "CHARTEVENTS": "SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM "
    "WARNING ERROR RESULTSTATUS STOPPED",
    "OUTPUTEVENTS": "SUBJECT_ID HADM_ID ICUSTAY_ID CHARTTIME ITEMID VALUE VALUEUOM STORETIME CGID STOPPED "
    "NEWBOTTLE ISERROR",
    "INPUTEVENTS_MV": "SUBJECT_ID HADM_ID ICUSTAY_ID STARTTIME ENDTIME ITEMID AMOUNT AMOUNTUOM RATE RATEUOM STORETIME "
    "CGID ORDERID LINKORDERID ORDERCATEGORYNAME SECONDARYORDERCATEGORYNAME ORDERCOMPONENTTYPEDESCRIPTION "
    "ORDERCATEGORYDESCRIPTION PATIENTWEIGHT TOTALAMOUNT TOTALAMOUNTUOM ISOPENBAG CONTINUEINNEXTDEPT CANCELREASON "
    "STATUSDESCRIPTION COMMENTS_EDITEDBY COMMENTS_CANCELEDBY COMMENTS_DATE ORIGINALAMOUNT ORIGINALRATE",
    "PROCEDUREEVENTS_MV": "SUBJECT_ID HADM_ID ICUSTAY_ID STARTTIME ENDTIME ITEMID VALUE VALUEUOM LOCATION "
    "LOCATIONCATEGORY STORETIME CGID ORDERID LINKORDERID ORDERCATEGORYNAME SECONDARYORDERCATEGORYNAME "
    "ORDERCATEGORYDESCRIPTION ISOPENBAG CONTINUEINNEXTDEPT CANCELREASON STATUSDESCRIPTION COMMENTS_EDITEDBY "
    "COMMENTS_CANCELEDBY COMMENTS_DATE",
    "MICROBIOLOGYEVENTS": "SUBJECT_ID HADM_ID CHARTDATE CHARTTIME SPEC_ITEMID SPEC_TYPE_DESC ORG_ITEMID ORG_NAME "
    "ISOLATE_NUM AB_ITEMID AB_NAME DILUTION_TEXT DILUTION_COMPARISON DILUTION_VALUE INTERPRETATION",
    "DRGCODES": "SUBJECT_ID HADM_ID DRG_TYPE DRG_CODE DESCRIPTION DRG_SEVERITY DRG_MORTALITY",
    "TRANSFERS": "SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE EVENTTYPE PREV_CAREUNIT CURR_CAREUNIT PREV_WARDID "
    "CURR_WARDID INTIME OUTTIME LOS",
    "SERVICES": "SUBJECT_ID HADM_ID TRANSFERTIME PREV_SERVICE CURR_SERVICE",
    "D_ICD_DIAGNOSES": "ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_ICD_PROCEDURES": "ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_LABITEMS": "ITEMID LABEL FLUID CATEGORY LOINC_CODE",
    "D_ITEMS": "ITEMID LABEL ABBREVIATION DBSOURCE LINKSTO CATEGORY UNITNAME PARAM_TYPE CONCEPTID",
}

Column = Any  # pa.Array, numpy.ndarray, a list, or one value for all rows
_QUOTED = csv.WriteOptions(include_header=False, quoting_style="needed")


class Tables:
    """The CSV files of a folder while they are written; numbers the rows of each."""

    def __init__(self, folder: Path) -> None:
        self.rows: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
        self._stack = ExitStack()
        self._streams = {}
        for table, columns in COLUMNS.items():
            self._streams[table] = self._stack.enter_context(open_private(folder / f"{table}.csv", "wb"))
            self._streams[table].write(f"ROW_ID,{columns.replace(' ', ',')}\n".encode())

    def add(self, table: str, many: int, **columns: Column) -> None:
        """Write `many` rows; a column is an array, one value for all rows, or is left empty."""
        if not many:
            return
        names = COLUMNS[table].split()
        if strange := set(columns) - set(names):
            raise ValueError(f"{table} has no column {', '.join(sorted(strange))}")
        first = self.rows[table] + 1
        arrays = [pa.array(np.arange(first, first + many))]
        arrays += [_array(columns.get(name), many) for name in names]
        csv.write_csv(pa.table(arrays, ["ROW_ID", *names]), self._streams[table], _QUOTED)
        self.rows[table] += many

    def __enter__(self) -> "Tables":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def picked(texts: Sequence[str | None], places: npt.NDArray[Any]) -> pa.Array:
    """Return the texts at some places; an empty cell for None."""
    return pa.array(texts, pa.string()).take(pa.array(places.astype(np.int64)))


def moments(seconds: npt.NDArray[np.int64], *, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return seconds since 1970 as times to the second, with some of them missing."""
    return pa.array(seconds.astype("datetime64[s]"), mask=missing)


def midnights(seconds: npt.NDArray[np.int64], *, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return the days of some times, written as midnight."""
    return moments(seconds // 86_400 * 86_400, missing=missing)


def days(seconds: npt.NDArray[np.int64]) -> pa.Array:
    """Return the days of some times, written without a time."""
    return pa.array(seconds.astype("datetime64[s]").astype("datetime64[D]"))


def _array(column: Column, many: int) -> pa.Array:
    if column is None:
        return pa.nulls(many, pa.string())
    if isinstance(column, str | int | float):
        return pa.repeat(pa.scalar(column), many)
    return column if isinstance(column, pa.Array) else pa.array(column)
