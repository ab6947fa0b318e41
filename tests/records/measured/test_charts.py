"""Rows of CHARTEVENTS, written by hand as CareVue and MetaVision write them."""

import pyarrow as pa
import pytest
from cohorts.records.measured.one_system import Measured, to_one_system

# item, value and unit as charted, and the measure, value and unit that they are
CHARTED = [
    ("211", 82.0, "BPM", "heart rate", 82.0, "/min"),
    ("220045", 82.0, "bpm", "heart rate", 82.0, "/min"),
    ("618", 18.0, "BPM", "respiratory rate", 18.0, "/min"),
    ("220210", 18.0, "insp/min", "respiratory rate", 18.0, "/min"),
    ("678", 98.6, "Deg. F", "temperature", 37.0, "degC"),
    ("223761", 98.6, "°F", "temperature", 37.0, "degC"),
    ("223761", 98.6, "?F", "temperature", 37.0, "degC"),
    ("676", 37.0, "Deg. C", "temperature", 37.0, "degC"),
    ("223762", 37.0, None, "temperature", 37.0, "degC"),
    ("455", 121.0, "mmHg", "systolic blood pressure", 121.0, "mmHg"),
    ("8441", 64.0, "mmHg", "diastolic blood pressure", 64.0, "mmHg"),
    ("220052", 78.0, "mmHg", "mean arterial pressure", 78.0, "mmHg"),
    ("113", -3.0, "mmHg", "central venous pressure", -3.0, "mmHg"),
    ("646", 97.0, "%", "SpO2", 97.0, "%"),
    ("190", 0.4, "torr", "FiO2", 40.0, "%"),
    ("3420", 40.0, "%", "FiO2", 40.0, "%"),
    ("223835", 0.4, None, "FiO2", 40.0, "%"),
    ("223835", 100.0, None, "FiO2", 100.0, "%"),
    ("470", 2.0, "L/min", "oxygen flow", 2.0, "L/min"),
    ("506", 5.0, "cmH2O", "PEEP", 5.0, "cmH2O"),
    ("682", 450.0, "ml/B", "tidal volume", 450.0, "mL"),
    ("450", 8.1, "L/min", "minute volume", 8.1, "L/min"),
    ("184", 4.0, None, "GCS eye", 4.0, "points"),
    ("223900", 0.0, None, "GCS verbal", 0.0, "points"),
    ("198", 15.0, "points", "GCS total", 15.0, "points"),
    ("763", 70.0, "kg", "weight", 70.0, "kg"),
    ("226531", 154.324, None, "weight", 70.0, "kg"),
    ("920", 70.0, None, "height", 177.8, "cm"),
    ("226707", 70.0, "Inch", "height", 177.8, "cm"),
    ("225664", 110.0, None, "glucose", 110.0, "mg/dL"),
]

IMPOSSIBLE = [
    ("211", 2230.0, "heart rate is outside 0 to 500 /min"),
    ("220277", 981.0, "SpO2 is outside 0 to 100 %"),
    ("223835", 5.0, "FiO2 is outside 20 to 100 %"),
    ("190", 0.1, "FiO2 is outside 20 to 100 %"),
    ("678", 37.0, "temperature is outside 10 to 50 degC"),  # degrees of Celsius in the item of Fahrenheit
    ("223762", 98.6, "temperature is outside 10 to 50 degC"),
    ("52", -12.0, "mean arterial pressure is outside 0 to 400 mmHg"),
    ("198", 2.0, "GCS total is outside 3 to 15 points"),
    ("763", 0.0, "weight is outside 0.2 to 700 kg"),
    ("226707", 178.0, "height is outside 20 to 280 cm"),
]


def charted(rows: list[tuple[str, float, str | None]]) -> Measured:
    codes, values, uoms = zip(*rows, strict=True)
    texts = {"code": pa.array(codes), "loinc": pa.nulls(len(rows), pa.string()), "uom": pa.array(uoms)}
    return to_one_system(pa.table({**texts, "value": pa.array(values)}), mimic=True)


def test_charted_values_come_into_one_system() -> None:
    measured = charted([row[:3] for row in CHARTED])
    assert measured.measures.to_pylist() == [row[3] for row in CHARTED]
    assert measured.rows["value"].to_pylist() == pytest.approx([row[4] for row in CHARTED], rel=1e-4)
    assert measured.rows["uom"].to_pylist() == [row[5] for row in CHARTED]
    assert not any(measured.impossible.to_pylist())
    assert measured.known == len(CHARTED)


def test_impossible_charted_values_are_told_with_their_bound() -> None:
    measured = charted([(item, value, None) for item, value, _ in IMPOSSIBLE])
    assert measured.impossible.to_pylist() == [True] * len(IMPOSSIBLE)
    assert measured.reasons.to_pylist() == [reason for *_, reason in IMPOSSIBLE]
