"""The encoder sepsis on a synthetic hospital: who is encoded, what is never seen, what is saved, what it predicts."""

import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.base import check_ready
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.sepsis.encoder import Sepsis
from cohorts.encoders.sepsis.prediction import predict
from cohorts.encoders.sepsis.preparation import Preparation
from cohorts.encoders.sepsis.series import variables
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.statics import LATE, static_columns
from cohorts.encoders.sepsis.stays import ENDED, Notes, Stays, read_stays, stays_of
from cohorts.encoders.training import held_back
from cohorts.encoders.views.windowed import as_of
from cohorts.errors import EncoderError, LeakageError, NoText
from cohorts.records.base import MEASUREMENT_COLUMNS, Batch, Unit, typed
from cohorts.records.measured.naming import measure_names
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.transforms import Subset, take_units
from tampering import only_clear_errors, tampered

QUICK: dict[str, Any] = {
    "text": "lsa:dim=8",
    "hidden": 8,
    "dim": 16,
    "epochs": 3,
    "static_columns": 12,
    "series_columns": 12,
}


@pytest.fixture(scope="module")
def source(one_batch: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionedSource]:
    folder, work = tmp_path_factory.mktemp("sepsis") / "tables", tmp_path_factory.mktemp("work")
    synthesize(folder, 700, seed=5)
    with open_source(
        "mimic3", folder, unit=Unit.ADMISSION, work_dir=work, quarantine_file=work / "bad.csv"
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def batch(source: PartitionedSource) -> Batch:
    (whole,) = source.batches()
    return whole


@pytest.fixture(scope="module")
def stays(batch: Batch) -> Stays:
    return stays_of(batch, Settings(**QUICK))


@pytest.fixture(scope="module")
def trained(source: PartitionedSource) -> Sepsis:
    return Sepsis(Settings(**QUICK)).fit(source)


def late(batch: Batch, unit: str, after: pd.Timedelta) -> Batch:
    """Return a batch in which a value and a note tell how a stay ends, so long after its window."""
    icu = batch.events[(batch.events["unit_id"] == unit) & (batch.events["kind"] == "icu stay")]["time"].min()
    at = icu + pd.Timedelta(hours=24) + after
    value = {
        "unit_id": unit,
        "code": "50813",
        "uom": "mmol/L",
        "value": 40.0,
        "time": at,
        "kind": "laboratory",
    }
    measurements = pd.concat([batch.measurements, typed(pd.DataFrame([value]), MEASUREMENT_COLUMNS)])
    note = batch.notes.iloc[:1].assign(unit_id=unit, time=at, text="comfort measures only, expired")
    return replace(batch, measurements=measurements, notes=pd.concat([batch.notes, note]))


def test_septic_stays_alone_have_a_vector(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    vectors = trained.encode(batch)
    septic = batch.units["unit_id"].isin(stays.ids.tolist()).to_numpy()
    assert vectors.shape == (len(batch), 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[septic], axis=1), 1, rtol=1e-5)
    assert not vectors[~septic].any()
    assert 40 < septic.sum() < len(batch)
    assert sum(trained.counts.values()) >= (~septic).sum()
    assert f"units left out: {ENDED}" in trained.counts


def test_a_row_depends_on_its_unit_alone(trained: Sepsis, batch: Batch) -> None:
    whole = trained.encode(batch)
    rows = np.flatnonzero(whole.any(axis=1))[:7]
    np.testing.assert_allclose(trained.encode(take_units(batch, rows.tolist())), whole[rows], atol=1e-5)
    assert trained.encode(take_units(batch, [])).shape == (0, 16)


def test_how_a_stay_ended_is_in_no_vector(trained: Sepsis, batch: Batch) -> None:
    units = batch.units.assign(died=True, stay_days=99.0, admissions=9, principal_code="0389")
    assert trained.encode(replace(batch, units=units)).tobytes() == trained.encode(batch).tobytes()


def test_what_comes_after_the_window_is_not_seen(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    unit = str(stays.ids[0])
    rows = [batch.units["unit_id"].tolist().index(unit)]
    plain = trained.encode(batch)[rows]
    assert trained.encode(late(batch, unit, pd.Timedelta(minutes=1)))[rows].tobytes() == plain.tobytes()
    seen = trained.encode(late(batch, unit, pd.Timedelta(hours=-2)))[rows]
    assert seen.tobytes() != plain.tobytes()


def test_a_signal_planted_after_the_window_teaches_nothing(source: PartitionedSource, batch: Batch) -> None:
    """Every death is told by a value and a note right after the window: weights stay what they are, bit by bit."""
    told = batch
    for unit in stays_of(batch, Settings(**QUICK)).ids[:40].tolist():
        told = late(told, unit, pd.Timedelta(minutes=1))
    plain, planted = (Sepsis(Settings(**{**QUICK, "epochs": 1})) for _ in (0, 1))
    assert plain.fit(_One(source, batch)).fingerprint == planted.fit(_One(source, told)).fingerprint


class _One:
    """A source of one batch."""

    name, unit, synthetic, has_notes, has_codes, fingerprint = "one", Unit.ADMISSION, True, True, True, "one"

    def __init__(self, source: PartitionedSource, batch: Batch) -> None:
        self.report, self.work_dir, self._batch = source.report, source.work_dir, batch

    def batches(self) -> Iterator[Batch]:
        yield self._batch


@pytest.mark.parametrize("column", LATE)
def test_a_column_known_at_the_end_only_is_refused(column: str) -> None:
    with pytest.raises(LeakageError, match=column):
        make_encoder(f"sepsis:statics=age+{column}")


@pytest.mark.parametrize(
    "window", ["discharge-0h", "admission..", "discharged-6h", "died_at-6h", "readmitted-1d"]
)
def test_a_window_that_the_end_tells_is_refused(window: str) -> None:
    """Hours before a death are those of who dies: nobody else has such a moment."""
    with pytest.raises(LeakageError, match="who died"):
        make_encoder("sepsis", window=window)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("statics=height of the sun", "statics is"),
        ("branches=static+images", "branches is"),
        ("step_h=5", "must divide"),
        ("window=admission..icu+24h", "takes the moment"),
        ("by=codes,window=onset+6h", "no onset"),
        ("dropout=1.5", "dropout"),
        ("seed=-1", "at least 0"),
        ("loss=hinge", "loss is"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: str, told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        make_encoder(f"sepsis:{settings}")


@pytest.mark.parametrize("text", ["codes", "sepsis"])
def test_what_reads_no_notes_is_no_text_encoder(source: PartitionedSource, text: str) -> None:
    encoder = make_encoder(f"sepsis:text={text}")
    for use in (lambda: check_ready(encoder), lambda: encoder.fit(source)):
        with pytest.raises(EncoderError, match="take lsa"):
            use()


def test_its_window_is_told_and_can_be_given_once() -> None:
    assert as_of(make_encoder("sepsis")) == "icu+24h"
    assert as_of(make_encoder("sepsis:window=icu+48h")) == "icu+48h"


def test_everything_is_learnt_from_training_stays_alone(stays: Stays) -> None:
    """Stays that are not learnt from may be anything: columns, scalings and the words of notes stay what they are."""
    rows = np.flatnonzero(~held_back(stays.patients.tolist(), 0))
    others = np.flatnonzero(held_back(stays.patients.tolist(), 0))
    static, values, died = stays.static.copy(), stays.cells.values.copy(), stays.died.copy()
    static[others] = 1e3
    values[np.isin(stays.cells.stay, others)] *= 50
    died[others] = 1 - died[others]
    texts = [
        "xylophone" if stay in set(others.tolist()) else text
        for stay, text in zip(stays.notes.stay.tolist(), stays.notes.text, strict=True)
    ]
    other = replace(
        stays,
        static=static,
        died=died,
        cells=replace(stays.cells, values=values),
        notes=replace(stays.notes, text=texts),
    )
    settings = Settings(**QUICK)
    first, second = (Preparation.learn(one, rows, settings) for one in (stays, other))
    assert first.facts() == second.facts()
    assert first.text is not None
    assert second.text is not None
    assert first.text.fingerprint == second.text.fingerprint
    for name, one in first.tensors().items():
        assert one.tobytes() == second.tensors()[name].tobytes()


def test_strangers_in_the_training_are_refused(source: PartitionedSource, stays: Stays) -> None:
    known = set(stays.ids[:200].tolist())
    encoder = Sepsis(Settings(**QUICK)).fit(source, known)
    assert encoder.fingerprint == Sepsis(Settings(**QUICK)).fit(Subset(source, known)).fingerprint


def test_a_saved_encoder_encodes_byte_identically(trained: Sepsis, batch: Batch, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    again = load_encoder(tmp_path / "model")
    assert isinstance(again, Sepsis)
    assert again.fingerprint == trained.fingerprint
    assert again.encode(batch).tobytes() == trained.encode(batch).tobytes()
    rows = [np.flatnonzero(trained.encode(batch).any(axis=1))[0]]
    assert predict(again, take_units(batch, rows)) == predict(trained, take_units(batch, rows))
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert modes == {0o600}
    again.save(tmp_path / "again")
    for file in sorted((tmp_path / "model").rglob("*")):
        if file.is_file():
            assert (
                file.read_bytes() == (tmp_path / "again" / file.relative_to(tmp_path / "model")).read_bytes()
            )


def test_a_changed_model_is_told(trained: Sepsis, tmp_path: Path) -> None:
    trained.save(tmp_path)
    about = json.loads((tmp_path / "encoder.json").read_text())
    changes: list[dict[str, Any]] = [
        {"settings": {**about["settings"], "window": "icu+48h"}},
        {"sizes": [1, 2, 3]},
        {"columns": {}},
    ]
    for change in changes:
        (tmp_path / "encoder.json").write_text(json.dumps({**about, **change}))
        with pytest.raises(EncoderError):
            load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["encoder.json", "recalibration.json"])
def test_whatever_a_file_holds_the_error_is_clear(trained: Sepsis, tmp_path: Path, name: str) -> None:
    trained.save(tmp_path)

    def use() -> None:
        again = load_encoder(tmp_path)
        assert isinstance(again, Sepsis)
        again.describe()
        again.model.calibrated.probabilities(np.array([0.0, 800.0, -800.0]))

    file = tmp_path / name
    told = only_clear_errors(file, tampered(file.read_text()), use)
    assert len(told) > 50
    use()


def test_the_same_source_gives_the_same_weights(trained: Sepsis, source: PartitionedSource) -> None:
    assert Sepsis(Settings(**QUICK)).fit(source).fingerprint == trained.fingerprint


@pytest.mark.parametrize("branches", ["static", "series", "notes", "static+series"])
def test_branches_can_be_left_out(source: PartitionedSource, batch: Batch, branches: str) -> None:
    encoder = Sepsis(Settings(**{**QUICK, "branches": branches, "epochs": 1})).fit(source)
    assert encoder.encode(batch).any()
    assert ("notes" in encoder.reads) == ("notes" in branches)


def test_an_untrained_encoder_and_a_text_are_refused(trained: Sepsis) -> None:
    with pytest.raises(EncoderError):
        _ = Sepsis().fingerprint
    with pytest.raises(NoText):
        trained.encode_text(["septic shock"])


def test_a_source_without_septic_stays_says_why(
    source: PartitionedSource, batch: Batch, stays: Stays
) -> None:
    with pytest.raises(EncoderError, match="septic by sepsis3 at icu"):
        read_stays(Subset(source, {"nobody"}), Settings(**QUICK))
    others = {unit for unit in batch.units["unit_id"].tolist() if unit not in set(stays.ids.tolist())}
    with pytest.raises(
        EncoderError, match=r"at icu\+24h: \d+ no suspected infection; \d+ suspected infection, SOFA"
    ):
        read_stays(Subset(source, others), Settings(**QUICK))


def test_onset_is_a_moment_too(batch: Batch) -> None:
    found = stays_of(batch, Settings(**{**QUICK, "window": "onset+12h"}))
    assert len(found) > 20
    assert (found.cells.step < found.cells.steps).all()


def test_the_last_weight_is_the_latest_that_has_a_value(batch: Batch, stays: Stays) -> None:
    """Whatever order a source has its rows in."""
    unit = str(stays.ids[0])
    units = batch.units[batch.units["unit_id"] == unit]
    icu = batch.events[(batch.events["unit_id"] == unit) & (batch.events["kind"] == "icu stay")]["time"].min()
    values = {6: 71.5, 8: np.nan, 2: 90.0}  # by hours in intensive care
    rows = pd.DataFrame(
        {
            "time": [icu + pd.Timedelta(hours=hours) for hours in values],
            "value": list(values.values()),
            "unit_id": unit,
            "admission_id": units["admission_id"].iloc[0],
            "code": "763",
            "uom": "kg",
            "kind": "vital",
        }
    )
    others = batch.measurements[measure_names(batch.measurements) != "weight"]
    measurements = pd.concat([others, typed(rows, MEASUREMENT_COLUMNS)], ignore_index=True)
    found = stays_of(replace(batch, measurements=measurements), Settings(**QUICK))
    row = found.ids.tolist().index(unit)
    assert found.static[row, found.static_names.index("body:weight")] == 71.5


def test_by_codes_the_rule_is_known_later_than_the_window(batch: Batch) -> None:
    found = stays_of(batch, Settings(**{**QUICK, "by": "codes"}))
    assert len(found) > 40


def test_a_risk_comes_with_its_reasons(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    with_notes = stays.ids[np.unique(stays.notes.stay)[:5]].tolist()
    rows = [batch.units["unit_id"].tolist().index(unit) for unit in with_notes]
    for found in predict(trained, take_units(batch, sorted(rows)), most=6):
        assert found.risk is not None
        assert 0 < found.risk < 1
        assert not found.refused
        assert len(found.reasons) == 6
        changes = [abs(one.change) for one in found.reasons]
        assert changes == sorted(changes, reverse=True)
        for one in found.reasons:
            assert one.kind in ("static", "series", "notes")
            if one.kind == "series":
                assert one.name in variables()
                assert one.hours_before is not None
                assert one.value is not None
            elif one.kind == "static":
                assert one.name in static_columns()


def test_a_reason_is_what_the_risk_is_without_it(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    """Taking a variable out of the records themselves changes the risk by what the reason tells."""
    found = None
    for unit in stays.ids[:20].tolist():
        one = take_units(batch, [batch.units["unit_id"].tolist().index(unit)])
        (found,) = predict(trained, one, most=99)
        names = [reason for reason in found.reasons if reason.kind == "series" and abs(reason.change) > 1e-4]
        if names:
            break
    assert found is not None
    assert found.risk is not None
    stay = stays_of(one, trained.settings)
    without = stay.cells.chosen(stay.cells.variable != variables().index(names[0].name))
    model = trained.model
    logits = model.trained.logits(model.preparation.inputs(replace(stay, cells=without)))
    (risk,) = model.calibrated.probabilities(logits).tolist()
    assert found.risk - risk == pytest.approx(names[0].change, abs=1e-6)


def test_what_turns_a_vector_is_what_lacking_it_turns(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    """Taken out of the records one by one: variables, static columns and notes, of stays with few and many notes."""
    rows = batch.units["unit_id"].isin(stays.ids[:9].tolist())
    some = take_units(batch, np.flatnonzero(rows).tolist())
    vectors, told = trained.explain(some)
    assert vectors.tobytes() == trained.encode(some).tobytes()
    model, seen = trained.model, stays.take(np.arange(9))
    checked = Counter[str]()
    for row, explanation in enumerate(told):
        one = seen.take(np.array([row]))
        for name, angle in explanation.reasons:
            kind, _, what = name.partition(":")
            if kind == "static":
                static = one.static.copy()
                static[0, one.static_names.index(what)] = np.nan
                without = replace(one, static=static)
            elif kind == "series":
                kept = one.cells.variable != variables().index(what)
                without = replace(one, cells=one.cells.chosen(kept))
            else:
                rest = [place for place in range(len(one.notes.text)) if f"note {place + 1}" != what]
                texts = [one.notes.text[place] for place in rest]
                notes = Notes(np.zeros(len(rest), np.int64), one.notes.hours[rest], texts)
                without = replace(one, notes=notes)
            vector = unit_rows(model.trained.vectors(model.preparation.inputs(without)))[0]
            cosine = np.clip(float(vector @ vectors[row]), -1, 1)
            assert np.degrees(np.arccos(cosine)) == pytest.approx(angle, abs=0.1)
            checked[kind] += 1
    assert set(checked) >= {"series", "static"}


def test_a_branch_that_is_left_out_is_no_reason(source: PartitionedSource, batch: Batch) -> None:
    encoder = Sepsis(Settings(**{**QUICK, "branches": "series", "epochs": 1})).fit(source)
    found = [one for one in predict(encoder, take_units(batch, list(range(60))), most=99) if one.reasons]
    assert found
    assert {reason.kind for one in found for reason in one.reasons} == {"series"}


def test_whom_the_model_was_not_made_for_gets_no_risk(trained: Sepsis, batch: Batch, stays: Stays) -> None:
    unit = str(stays.ids[0])
    row = [batch.units["unit_id"].tolist().index(unit)]
    one = take_units(batch, row)
    young = replace(one, units=one.units.assign(age=17.0))
    no_notes = replace(one, notes=one.notes.iloc[:0])
    not_septic = replace(one, events=one.events[one.events["kind"] != "culture"])
    for batch_of_one, told in ((young, "18"), (no_notes, "note"), (not_septic, "infection")):
        (found,) = predict(trained, batch_of_one)
        assert found.risk is None
        assert not found.reasons
        assert told in found.refused
