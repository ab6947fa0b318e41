"""Values from one unit to another, by examples worked by hand, and what is no unit of a measure."""

import pytest
from cohorts.records.measured.units import as_written, conversion


def converted(measure: str, value: float, uom: str | None, by_definition: str = "") -> float:
    way = conversion(measure, uom, by_definition)
    assert way is not None
    return (value + way.offset) * (way.factor_up_to_1 if value <= 1 else way.factor)


# By hand: amount × molar mass, or the unit's definition (NIST SP 811, appendix B.8); the factors are those of the
# usual tables (AMA Manual of Style, 11th edition, units of measure).
@pytest.mark.parametrize(
    ("measure", "value", "uom", "expected"),
    [
        ("temperature", 98.6, "Deg. F", 37.0),
        ("temperature", 310.15, "K", 37.0),
        ("temperature", 36.6, "?C", 36.6),
        ("weight", 154, "lbs", 69.853),  # × 0.45359237
        ("weight", 112, "oz", 3.1751),  # seven pounds
        ("weight", 3250, "g", 3.25),
        ("height", 70, "Inch", 177.8),
        ("height", 5.5, "ft", 167.64),
        ("height", 1.78, "m", 178),
        ("height", 495, "mm", 49.5),
        ("urine output", 1.2, "L", 1200),
        ("oxygen flow", 250, "mL/min", 0.25),
        ("mean arterial pressure", 13.332, "kPa", 100.0),
        ("PEEP", 5, "mbar", 5.0986),  # 1 cmH2O is 98.0665 Pa
        ("FiO2", 0.4, "fraction", 40.0),
        ("haematocrit", 0.42, "L/L", 42.0),
        ("glucose", 5.5, "mmol/L", 99.09),  # × 18.0156
        ("creatinine", 88.4, "µmol/L", 1.0),
        ("creatinine", 88.4, "umol/l", 1.0),
        ("bilirubin", 17.1, "μmol/L", 1.0),
        ("urea nitrogen", 5, "mmol/L", 14.007),  # of urea: 28.014 g of nitrogen each mol
        ("calcium", 2.5, "mmol/L", 10.02),
        ("calcium", 5.0, "mEq/L", 10.02),  # two charges: 2.5 mmol/L
        ("ionised calcium", 4.8, "mg/dL", 1.198),
        ("magnesium", 2, "meq/l", 2.4305),
        ("phosphate", 1, "mmol/L", 3.0974),
        ("sodium", 140, "mEq/L", 140),
        ("potassium", 15.64, "mg/dL", 4.0),
        ("lactate", 18, "mg/dL", 1.998),
        ("uric acid", 59.48, "umol/L", 1.0),
        ("cholesterol", 5, "mmol/L", 193.3),
        ("triglycerides", 2, "mmol/L", 177.1),
        ("iron", 10, "umol/L", 55.85),
        ("cortisol", 27.59, "nmol/L", 1.0),
        ("free thyroxine", 12.87, "pmol/L", 1.0),
        ("ammonia", 17.03, "ug/dL", 10.0),
        ("albumin", 40, "g/L", 4.0),
        ("haemoglobin", 140, "g/L", 14.0),
        ("mean cell haemoglobin concentration", 33, "%", 33.0),
        ("C-reactive protein", 8.92, "mg/dL", 89.2),
        ("troponin T", 14, "ng/L", 0.014),
        ("NT-proBNP", 1.2, "ng/mL", 1200),
        ("thyrotropin", 2.5, "uIU/mL", 2.5),
        ("vancomycin", 15, "mg/L", 15),
        ("vancomycin", 1500, "ug/dL", 15),
        ("iron", 1, "mg/L", 100),
        ("sodium", 0.14, "mol/L", 140),
        ("aspartate aminotransferase", 2.0, "µkat/L", 120.0),
        ("aspartate aminotransferase", 500, "nkat/L", 30.0),
        ("haemoglobin A1c", 53, "mmol/mol", 7.0),  # 0.09148 × 53 + 2.152 = 7.0004
        ("white cells", 7500, "/uL", 7.5),
        ("white cells", 7.5, "10*3/uL", 7.5),
        ("white cells", 7.5, "10³/µL", 7.5),
        ("white cells", 7.5, "K/mcL", 7.5),
        ("red cells", 4.5, "m/uL", 4.5),
        ("platelets", 0.25, "10*12/L", 250),
    ],
)
def test_worked_examples(measure: str, value: float, uom: str, expected: float) -> None:
    assert converted(measure, value, uom) == pytest.approx(expected, rel=5e-4)


def test_the_inspired_fraction_of_charts_is_a_fraction_up_to_1_and_a_percentage_above() -> None:
    assert [converted("FiO2", value, None, "fraction or %") for value in (0.21, 1.0, 21.0, 100.0)] == [
        21.0,
        100.0,
        21.0,
        100.0,
    ]


@pytest.mark.parametrize(
    ("measure", "uom"),
    [
        ("creatinine", "mg"),
        ("creatinine", "mmHg"),
        ("creatinine", None),
        ("creatinine", " "),
        ("haemoglobin", "mmol/L"),  # of the molecule, or of its four chains?
        ("creatine kinase MB", "U/L"),  # another assay
        ("albumin", "%"),  # of all protein
        ("lymphocyte count", "%"),
        ("red cell distribution width", "fL"),
        ("weight", "stone"),
    ],
)
def test_a_unit_that_is_not_known_of_a_measure_is_not_guessed(measure: str, uom: str | None) -> None:
    assert conversion(measure, uom) is None


def test_no_unit_is_that_of_a_pure_number_or_of_the_item() -> None:
    assert conversion("INR", None) == conversion("INR", "  ") == conversion("INR", "Ratio")
    assert conversion("heart rate", None) is None
    assert conversion("heart rate", None, "/min") == conversion("heart rate", "BPM")


def test_a_unit_that_is_written_goes_before_that_of_the_item_where_it_is_one_of_the_measure() -> None:
    assert converted("temperature", 98.6, "°F", "degC") == pytest.approx(37)
    assert conversion("FiO2", "torr", "fraction or %") == conversion("FiO2", None, "fraction or %")


def test_spellings() -> None:
    spelled = {
        " mm Hg ": "mmhg",
        "µg/dL": "ug/dl",
        "mcg/dL": "ug/dl",
        "10⁹/L": "10^9/l",
        "×10¹²/L": "x10^12/l",
    }
    assert {uom: as_written(uom) for uom in spelled} == spelled
