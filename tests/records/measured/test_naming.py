"""What the rows of a batch measure: by the item of MIMIC, else by LOINC, and only in the measure's unit."""

import pandas as pd
from cohorts.records.base import MEASUREMENT_COLUMNS
from cohorts.records.measured.naming import measure_names
from wards import frame

ROWS = [
    # item, LOINC code, unit, and what it is
    ("50912", "2160-0", "mg/dL", "creatinine"),
    ("50998", "2500-7", "mg/dL", "transferrin"),  # the dictionary of MIMIC-III gives it the code of another
    ("K+", "2823-3", "mmol/L", "potassium"),
    (None, "2823-3", "mmol/L", "potassium"),
    (None, "2823-3", "mg/dL", None),  # not its unit
    (None, "2823-3", None, None),
    ("211", None, "/min", "heart rate"),
    ("211", None, "mmol/L", None),  # the number of something else, in another source
    ("211", "2951-2", "mmol/L", "sodium"),
    ("223900", None, "points", "GCS verbal"),
    ("223900", None, None, "GCS verbal"),
    ("51237", "5895-7", "1", "INR"),
    ("467", None, None, None),  # an oxygen device is no measure
    (None, None, None, None),
]


def test_each_row_has_the_name_of_what_it_measures() -> None:
    rows = [{"code": code, "loinc": loinc, "uom": uom} for code, loinc, uom, _ in ROWS]
    measurements = frame(rows, MEASUREMENT_COLUMNS).set_axis(range(7, 7 + len(ROWS)))
    expected = pd.Series([name for *_, name in ROWS], index=measurements.index, dtype="str")
    pd.testing.assert_series_equal(measure_names(measurements), expected)


def test_no_rows_have_no_names() -> None:
    assert len(measure_names(frame([], MEASUREMENT_COLUMNS))) == 0
