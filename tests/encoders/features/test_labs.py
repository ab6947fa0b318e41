"""Laboratory values as features: which count, what they are measured by, and that batches change nothing."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.documents import parse_json
from cohorts.encoders.features.labs import LabFacts, LabFeatures
from cohorts.errors import EncoderError
from cohorts.records.base import Batch
from cohorts.records.sources.registry import open_source
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sources import laboratory_rows

DAY = timedelta(hours=24)
ADMITTED = pd.Timestamp("2150-01-01 08:00")
Row = tuple[str, str, str | None, float | None, float | None]  # unit, item, its measure, hours, value


def batch_of(rows: Sequence[Row], units: Sequence[str] = ("1", "2", "3")) -> Batch:
    """Return units that were admitted at one time, with these measurements in this order."""
    measured = [
        (unit, None, item, ADMITTED + pd.Timedelta(hours=at) if at is not None else pd.NaT, value, uom)
        for unit, item, uom, at, value in rows
    ]
    admitted = pd.DataFrame({"unit_id": list(units), "admitted": ADMITTED}).astype(
        {"unit_id": "str", "admitted": "datetime64[us]"}
    )
    measurements = laboratory_rows(measured)
    return Batch(admitted, pd.DataFrame(), pd.DataFrame(), measurements)


def sodium(*values: tuple[str, float, float]) -> list[Row]:
    return [(unit, "Sodium", "mEq/L", at, value) for unit, at, value in values]


TRAINING = sodium(("1", 3, 150), ("1", 1, 130), ("1", 2, 140), ("2", 0, 150), ("2", 24, 170))


def test_aggregates_are_z_scores_of_the_training_units() -> None:
    features = LabFeatures.learn([batch_of(TRAINING)], min_units=2, window=DAY)
    assert features.columns == [
        f"lab:Sodium [mEq/L]:{name}" for name in ("first", "min", "max", "mean", "measured")
    ]
    # Units 1 and 2: first 130, 150; min 130, 150; max 150, 170; mean 140, 160. Deviations are 10 each.
    made = features.transform(batch_of(TRAINING))
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [[-1, -1, -1, -1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], atol=1e-6)
    other = features.transform(batch_of(sodium(("3", 2, 150), ("3", 1, 160)), ["9", "3"]))
    np.testing.assert_allclose(other, [[0.0] * 5, [2.0, 1.0, 0.0, 0.5, 1.0]], atol=1e-6)
    assert features.counts.total() == 0


def test_what_lies_far_off_is_clipped() -> None:
    features = LabFeatures.learn([batch_of(TRAINING)], 1, DAY)
    made = features.transform(batch_of(sodium(("1", 1, 9_999), ("2", 1, -9_999))))
    np.testing.assert_array_equal(made, [[5, 5, 5, 5, 1], [-5, -5, -5, -5, 1], [0, 0, 0, 0, 0]])


def test_only_whole_measurements_within_the_window_count() -> None:
    rows: list[Row] = [
        *sodium(("1", 0, 130), ("1", 24, 134), ("1", 24.001, 999), ("1", -0.001, 999)),
        ("1", "Sodium", "mEq/L", None, 999),
        ("1", "Sodium", "mEq/L", 1, None),
        ("1", "Sodium", "mEq/L", 1, float("inf")),
        *sodium(("2", 1, 142)),
    ]
    features = LabFeatures.learn([batch_of(rows)], 1, DAY)
    np.testing.assert_allclose(features.tensors()["mean"], [[136, 136, 138, 137]])
    np.testing.assert_allclose(features.tensors()["deviation"], [[6, 6, 4, 5]])
    np.testing.assert_allclose(features.transform(batch_of(rows))[0], [-1, -1, -1, -1, 1])
    assert +features.counts == {
        "measurements outside the window": 2,
        "measurements without a value or a time": 3,
    }
    batch = batch_of(rows)
    batch.units["admitted"] = pd.NaT
    assert not features.transform(batch).any()
    assert features.counts["measurements of units without a time of admission"] == 5


def test_another_unit_of_measure_is_another_item() -> None:
    rows: list[Row] = [
        ("1", "Glucose", "mg/dL", 1, 90),
        ("1", "Glucose", "mmol/L", 1, 5),
        ("2", "Glucose", " ", 1, 7),
        ("3", "Glucose", None, 1, 8),
    ]
    features = LabFeatures.learn([batch_of(rows)], 1, DAY)
    assert features.items == ["Glucose", "Glucose [mg/dL]", "Glucose [mmol/L]"]
    measured = features.transform(batch_of(rows))[:, 4::5]
    assert measured.tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]


def test_items_that_few_have_or_nobody_had_are_left_out_and_counted() -> None:
    rare: list[Row] = [("1", "Ammonia", "umol/L", at, 30) for at in (1, 2, 3)]
    features = LabFeatures.learn([batch_of([*TRAINING, *rare])], 2, DAY)
    assert features.items == ["Sodium [mEq/L]"]
    unseen: list[Row] = [("2", "Lipase", "IU/L", 1, 30), ("2", "Lipase", "IU/L", 40, 30)]
    features.transform(batch_of([*rare, *unseen]))
    assert +features.counts == {
        "measurements of items not seen in training": 4,
        "measurements outside the window": 1,
    }


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_an_item_that_never_varied_divides_by_nothing(value: float) -> None:
    many = {"1": 1, "2": 3, "3": 11}  # means that rounding lets differ
    batches = [batch_of(sodium(*((unit, at, value) for at in range(many[unit])))) for unit in many]
    features = LabFeatures.learn(batches, 1, DAY)
    made = features.transform(batch_of(sodium(("1", 1, value), ("2", 1, value + 1))))
    np.testing.assert_array_equal(made, [[0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])


def test_nothing_to_learn_from_and_nothing_to_transform() -> None:
    features = LabFeatures.learn([batch_of(TRAINING), batch_of([])], 1, DAY)
    assert features.transform(batch_of([])).shape == (3, 5)
    assert features.transform(batch_of([], [])).shape == (0, 5)
    for batches in ([], [batch_of([])]):
        assert LabFeatures.learn(batches, 1, DAY).transform(batch_of(TRAINING)).shape == (3, 0)


def test_what_is_transformed_teaches_nothing() -> None:
    features = LabFeatures.learn([batch_of(TRAINING)], 1, DAY)
    before = features.transform(batch_of(TRAINING))
    kept = json.dumps(features.facts()), {name: one.copy() for name, one in features.tensors().items()}
    features.transform(batch_of([*sodium(("1", 1, 900)), ("1", "Lipase", "IU/L", 1, 30)]))
    assert json.dumps(features.facts()) == kept[0]
    for name, one in features.tensors().items():
        np.testing.assert_array_equal(one, kept[1][name])
    np.testing.assert_array_equal(features.transform(batch_of(TRAINING)), before)


def test_restored_it_is_the_same() -> None:
    features = LabFeatures.learn([batch_of(TRAINING)], 1, timedelta(hours=5, microseconds=7))
    facts = parse_json(json.dumps(features.facts()), LabFacts, "facts")
    again = LabFeatures.restore(facts, features.tensors())
    assert again.window == features.window
    assert again.columns == features.columns
    assert again.transform(batch_of(TRAINING)).tobytes() == features.transform(batch_of(TRAINING)).tobytes()
    with pytest.raises(EncoderError, match="not of the shape"):
        LabFeatures.restore(facts._replace(items=[]), features.tensors())


values = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
of_a_unit = st.lists(st.tuples(st.sampled_from("abc"), st.floats(-2, 30), values), max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(of_a_unit, min_size=1, max_size=9), st.data())
def test_several_batches_teach_what_one_does(
    units: list[list[tuple[str, float, float]]], data: st.DataObject
) -> None:
    ids = [str(unit) for unit in range(len(units))]
    rows: list[Row] = [
        (unit, item, "u", at, value) for unit, of in zip(ids, units, strict=True) for item, at, value in of
    ]
    of_batch = [data.draw(st.integers(0, 2)) for _ in ids]
    parts = [
        [unit for unit, part in zip(ids, of_batch, strict=True) if part == chosen] for chosen in range(3)
    ]
    several = (batch_of([row for row in rows if row[0] in part], part) for part in parts)
    whole = batch_of(rows, ids)
    one = LabFeatures.learn([whole], 2, DAY)
    made = LabFeatures.learn(several, 2, DAY)
    assert made.columns == one.columns
    for name, kept in one.tensors().items():
        np.testing.assert_allclose(made.tensors()[name], kept, rtol=1e-9, atol=1e-5)


def test_as_plain_python_has_it_on_real_values(shared_data: Path, tmp_path: Path) -> None:
    with open_source(
        "mimic3", shared_data / "mimic3-demo", work_dir=tmp_path, quarantine_file=tmp_path / "bad"
    ) as source:
        batches = list(source.batches())
    window = timedelta(days=2)
    features = LabFeatures.learn(batches, 5, window)
    made = np.concatenate([features.transform(batch) for batch in batches])
    assert len(features.items) > 50
    item = "Sodium [mmol/L]"
    found = []
    for batch in batches:
        admitted = dict(zip(batch.units["unit_id"], batch.units["admitted"], strict=True))
        of_unit: dict[str, list[tuple[pd.Timestamp, float]]] = {}
        for unit, name, uom, at, value in batch.measurements[
            ["unit_id", "item", "uom", "time", "value"]
        ].itertuples(index=False):
            if (
                f"{name} [{uom}]" == item
                and admitted[unit] <= at <= admitted[unit] + window
                and value == value
            ):
                of_unit.setdefault(unit, []).append((at, value))
        found += [min(of_unit[unit])[1] if unit in of_unit else np.nan for unit in batch.units["unit_id"]]
    first = np.array(found)
    place = features.columns.index(f"lab:{item}:first")
    expected = np.clip((first - np.nanmean(first)) / np.nanstd(first), -5, 5)
    np.testing.assert_array_equal(made[:, place + 4], ~np.isnan(first))
    np.testing.assert_allclose(made[:, place], np.nan_to_num(expected), atol=1e-4)
    assert np.isfinite(made).all()


def test_flags_say_who_was_low_or_high() -> None:
    features = LabFeatures.learn([batch_of(TRAINING)], min_units=2, window=DAY)
    assert features.flag_columns == ["lab:Sodium [mEq/L]:low", "lab:Sodium [mEq/L]:high"]
    # Of the training units, min is 140 and max 160 on average, with deviations of 10 each.
    asked = batch_of(sodium(("1", 1, 129), ("2", 1, 171), ("2", 2, 129), ("3", 1, 150)))
    np.testing.assert_array_equal(features.flags(asked).toarray(), [[1, 0], [1, 1], [0, 0]])
    nothing = LabFeatures.learn([batch_of([])], min_units=2, window=DAY)
    assert nothing.flags(asked).shape == (3, 0)
