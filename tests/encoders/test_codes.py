"""The encoder codes: groups weighed by how rare they are, by rank and by age, in few numbers."""

import json
import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.base import Vectors
from cohorts.encoders.codes import Codes, Settings
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.saving import ABOUT, TENSORS
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Unit
from cohorts.records.sources.registry import open_source
from small_hospitals import mimic3
from small_sources import Code, Small, day, diagnosis, laboratory_rows

FAILURE, FAILURE_10 = diagnosis("4280"), diagnosis("I509")
SEPSIS, SEPSIS_10 = diagnosis("0389"), diagnosis("A419")
PRESSURE, SUGAR, HIP = diagnosis("4019"), diagnosis("25000"), diagnosis("S72001A")
FUROSEMIDE, HEPARIN = ("drug", "name", "Furosemide 40mg Tab"), ("drug", "name", "heparin sodium")
KINDS = (FAILURE, SEPSIS, PRESSURE, SUGAR, HIP, FUROSEMIDE, HEPARIN, diagnosis("486"), diagnosis("5849"))
UNGROUPED = diagnosis("XXX")


def people(many: int, seed: int = 0) -> list[list[Code]]:
    """Return the codes of units: one to five of each."""
    rng = np.random.default_rng(seed)
    return [
        [KINDS[kind] for kind in rng.choice(len(KINDS), rng.integers(1, 6), replace=False)]
        for _ in range(many)
    ]


PEOPLE = people(60)


def fitted(spec: str = "codes", codes: list[list[Code]] | None = None) -> Codes:
    encoder = make_encoder(spec).fit(Small(codes=PEOPLE if codes is None else codes))
    assert isinstance(encoder, Codes)
    return encoder


def encode(encoder: Codes, *codes: list[Code]) -> Vectors:
    return encoder.encode(Small(codes=codes).batch)


def weights_of(encoder: Codes, codes: list[Code]) -> dict[str, float]:
    """Return what a unit's codes weigh in its row of length 1."""
    rows = encoder._rows(Small(codes=[codes]).batch, encoder._parts.codes, None)
    row = encoder._parts.space.weighted(rows)
    columns = encoder._parts.columns
    return dict(zip((columns[place] for place in row.indices), row.data.tolist(), strict=True))


def test_both_classifications_meet() -> None:
    encoder = fitted()
    nine, ten, other = encode(encoder, [FAILURE, SEPSIS], [FAILURE_10, SEPSIS_10], [HIP])
    assert nine.shape == (128,)
    assert nine.dtype == np.float32
    np.testing.assert_array_equal(nine, ten)
    np.testing.assert_allclose(np.linalg.norm([nine, other], axis=1), 1, atol=1e-6)
    assert nine @ other < 0.3
    again = encode(encoder, [FAILURE, FAILURE_10, FAILURE, SEPSIS])  # how often does not count
    np.testing.assert_array_equal(again[0], nine)
    each = fitted("codes:columns=each")
    assert not encode(each, [FAILURE_10]).any()
    assert encode(each, [FAILURE]).any()


def test_rare_codes_weigh_more() -> None:
    codes = [[PRESSURE, SEPSIS], [PRESSURE], [PRESSURE], [PRESSURE, HIP], [], [UNGROUPED]]
    weights = weights_of(fitted(codes=codes), [PRESSURE, SEPSIS])
    (common,) = (value for name, value in weights.items() if "hypertension" in name)
    (rare,) = (value for name, value in weights.items() if "sepsis" in name)
    assert rare / common == pytest.approx(
        (math.log(5 / 2) + 1) / (math.log(5 / 5) + 1)
    )  # 4 units have a code
    assert rare**2 + common**2 == pytest.approx(1, abs=1e-6)


def test_with_enough_numbers_the_cosine_is_that_of_the_weights() -> None:
    encoder = fitted()
    vectors = encoder.encode(Small(codes=PEOPLE).batch)
    assert np.abs(vectors[:, encoder.padding]).max() < 0.01  # nothing is left
    rows = [weights_of(encoder, codes) for codes in PEOPLE]
    for one in (0, 7, 31):
        expected = [sum(rows[one][name] * other.get(name, 0) for name in rows[one]) for other in rows]
        np.testing.assert_allclose(vectors[one] @ vectors.T, expected, atol=1e-4)


def test_few_numbers_leave_a_rest_to_the_padding() -> None:
    encoder = fitted("codes:dim=4")
    vectors = encoder.encode(Small(codes=PEOPLE).batch)
    assert vectors.shape == (60, 4)
    assert encoder.padding == 3
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[:, 3] > 0.1).sum() > 30


def test_the_principal_diagnosis_weighs_what_was_asked() -> None:
    def share(spec: str, *more: Any) -> float:
        weights = weights_of(
            fitted(spec), [diagnosis("4280", *more), ("drug", "name", "heparin", 1), diagnosis("0389", 2)]
        )
        failure, heparin = (
            next(value for name, value in weights.items() if part in name) for part in ("failure", "heparin")
        )
        return failure / heparin

    plain = share("codes", 1)
    assert share("codes:principal=3", 1) == pytest.approx(3 * plain, rel=1e-5)
    assert share("codes:principal=3", 2) == pytest.approx(plain, rel=1e-5)
    assert share("codes:principal=3") == pytest.approx(plain, rel=1e-5)  # of unknown rank


OLD, NEW = "2150-01-01", "2154-01-01"  # four years of 365.25 days


def test_a_code_of_an_earlier_admission_halves_with_every_half_life() -> None:
    recent = [diagnosis("4280", 1, day(NEW)), diagnosis("0389", 2, day(NEW))]
    plain = weights_of(fitted(), recent)

    def ratio(spec: str, *codes: Code) -> float:
        weights = weights_of(fitted(spec), [*codes, diagnosis("0389", 2, day(NEW))])
        failure, sepsis = (
            next(one[name] for name in one if part in name)
            for part in ("failure", "sepsis")
            for one in [weights]
        )
        whole, other = (
            next(one[name] for name in one if part in name)
            for part in ("failure", "sepsis")
            for one in [plain]
        )
        return (failure / sepsis) / (whole / other)

    old = diagnosis("4280", 1, day(OLD))
    assert ratio("codes:half_life=4", old) == pytest.approx(1 / 2, rel=1e-3)
    assert ratio("codes:half_life=2", old) == pytest.approx(1 / 4, rel=1e-3)
    assert ratio("codes", old) == pytest.approx(1, rel=1e-5)
    assert ratio("codes:half_life=4", diagnosis("4280", 1)) == pytest.approx(1, rel=1e-5)  # no one knows when
    assert ratio("codes:half_life=4", old, recent[0]) == pytest.approx(1, rel=1e-5)  # the last time counts
    both = ratio("codes:half_life=4,principal=2", old)
    assert both == pytest.approx(1, rel=1e-3)


def test_without_any_time_all_weigh_whole() -> None:
    plain, decayed = fitted(), fitted("codes:half_life=1")
    assert (
        decayed.encode(Small(codes=PEOPLE).batch).tobytes()
        == plain.encode(Small(codes=PEOPLE).batch).tobytes()
    )
    assert decayed.fingerprint != plain.fingerprint


def test_codes_of_a_hospital_know_when_their_admission_began(tmp_path: Path) -> None:
    """Of patients, an earlier admission's; of admissions, each has its own alone."""
    tables = {
        "ADMISSIONS": "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG\n"
        "1,10,2150-01-01 00:00:00,2150-01-02 00:00:00,,EMERGENCY,0\n"
        "1,11,2154-01-01 00:00:00,2154-01-02 00:00:00,,EMERGENCY,0\n"
        "2,20,2165-01-01 10:00:00,2165-01-03 10:00:00,,ELECTIVE,0",
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4280\n1,11,1,0389\n2,20,1,0389\n2,20,2,4280",
        "PROCEDURES_ICD": None,
        "PRESCRIPTIONS": None,
        "NOTEEVENTS": None,
        "LABEVENTS": None,
        "ICUSTAYS": None,
    }
    folder = mimic3(tmp_path / "tables", **tables)

    def batch_of(unit: Unit) -> Batch:
        with open_source(
            "mimic3", folder, unit=unit, work_dir=tmp_path, quarantine_file=tmp_path / "bad"
        ) as source:
            (batch,) = source.batches()
            return batch

    batch = batch_of(Unit.PATIENT)
    admitted = dict(
        zip(batch.codes["code"] + batch.codes["unit_id"], batch.codes["admitted"].astype("str"), strict=True)
    )
    assert admitted["42801"][:4] == "2150"
    assert admitted["03891"][:4] == "2154"
    encoder = Codes(Settings(half_life=4))
    weights = dict(
        zip(batch.codes["code"] + batch.codes["unit_id"], encoder._weights(batch.codes).tolist(), strict=True)
    )
    assert weights == pytest.approx({"42801": 0.5, "03891": 1, "03892": 1, "42802": 1}, rel=1e-3)
    assert encoder._weights(batch_of(Unit.ADMISSION).codes).tolist() == [1.0] * 4


def test_units_of_unseen_codes_are_zeros_and_told() -> None:
    encoder = fitted()
    assert not any(encoder.counts.values())
    vectors = encode(encoder, [diagnosis("41401")], [SEPSIS], [], [UNGROUPED], [SEPSIS, UNGROUPED])
    assert vectors.any(axis=1).tolist() == [False, True, False, False, True]
    assert {what: count for what, count in encoder.counts.items() if count} == {
        "diagnosis codes not seen in training": 1,
        "diagnosis codes without a group": 2,
        "units of codes that were not learnt": 2,
    }


def test_only_codes_of_several_units_count_where_asked() -> None:
    codes = [[SEPSIS, HIP], [SEPSIS], [FAILURE]]
    encoder = fitted("codes:min_units=2", codes)
    assert encoder.describe()["codes"] == 1
    assert encoder.encode(Small(codes=codes).batch).any(axis=1).tolist() == [True, True, False]


def test_reasons_are_the_angles_of_leaving_each_out() -> None:
    encoder = fitted("codes:dim=6")
    batch = Small(codes=PEOPLE).batch
    vectors, told = encoder.explain(batch)
    assert vectors.tobytes() == encoder.encode(batch).tobytes()
    columns, kinds = {code: weights_of(encoder, [code]) for code in {*chain.from_iterable(PEOPLE)}}, 0
    for codes, vector, explanation in zip(PEOPLE, vectors, told, strict=True):
        assert explanation.from_notes == 0
        assert len(explanation.reasons) == len(codes)
        degrees = [angle for _, angle in explanation.reasons]
        assert degrees == sorted(degrees, reverse=True)
        names = encoder._parts.columns
        lefts = [[one for one in codes if one != code] for code in codes]
        for code, left, without in zip(codes, lefts, encode(encoder, *lefts), strict=True):
            (name,) = columns[code]
            assert name in names
            angle = dict(explanation.reasons)[name]
            if not left:
                assert angle == pytest.approx(90)
                continue
            a, b = vector[:-1].astype(np.float64), without[:-1].astype(np.float64)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert angle == pytest.approx(float(np.degrees(np.arccos(min(1.0, cosine)))), abs=0.2)
            kinds += 1
    assert kinds > 100
    assert encoder.explain(Small(codes=[[]]).batch)[1][0].reasons == ()


def test_no_more_reasons_are_told_than_are_kept() -> None:
    many = [("drug", "name", f"drug{chr(97 + row // 26)}{chr(97 + row % 26)}") for row in range(210)]
    encoder = fitted("codes", [many, many[:105], many[105:]])
    (explanation,) = encoder.explain(Small(codes=[many]).batch)[1]
    assert len(explanation.reasons) == 200


def test_save_and_load_encode_byte_identically(tmp_path: Path) -> None:
    encoder = fitted("codes:dim=8,principal=2,half_life=3,min_units=2")
    batch = Small(codes=PEOPLE).batch
    encoder.save(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert isinstance(loaded, Codes)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode(batch).tobytes() == encoder.encode(batch).tobytes()
    assert loaded.explain(batch)[1] == encoder.explain(batch)[1]
    assert (loaded.describe(), loaded.padding) == (encoder.describe(), encoder.padding)
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == [ABOUT, TENSORS]
    about = json.loads((tmp_path / "saved" / ABOUT).read_text())
    about["codes"][:2] = about["codes"][1::-1]
    (tmp_path / "saved" / ABOUT).write_text(json.dumps(about))
    with pytest.raises(EncoderError, match="was changed since it was saved"):
        load_encoder(tmp_path / "saved")


@pytest.mark.parametrize(
    "other", ["seed=1", "columns=each", "min_units=2", "principal=2", "half_life=5", "sample=9", "dim=9"]
)
def test_fingerprint_follows_every_setting(other: str) -> None:
    first = fitted("codes:dim=8").fingerprint
    assert make_encoder("codes:dim=8").fit(Small(codes=PEOPLE, per=7)).fingerprint == first
    assert fitted(f"codes:{other if 'dim' in other else f'dim=8,{other}'}").fingerprint != first


def test_a_sample_of_the_units_teaches_directions_and_all_of_them_how_rare_codes_are() -> None:
    whole, part = fitted("codes:dim=8", people(300)), fitted("codes:dim=8,sample=60", people(300))
    np.testing.assert_array_equal(part._parts.space.idf, whole._parts.space.idf)
    assert part.encode(Small(codes=PEOPLE).batch).any(axis=1).all()


@pytest.mark.parametrize("codes", [[[SEPSIS]], [[SEPSIS], [SEPSIS]], [[SEPSIS, HIP]], [[SEPSIS], [HIP], []]])
def test_fewer_units_or_codes_than_numbers(codes: list[list[Code]]) -> None:
    encoder = fitted("codes", codes)
    vectors = encoder.encode(Small(codes=codes).batch)
    assert vectors.any(axis=1).tolist() == [bool(one) for one in codes]
    np.testing.assert_allclose(np.linalg.norm(vectors[:1], axis=1), 1, atol=1e-6)
    assert encoder.describe()["directions"] <= 2


def test_a_source_with_nothing_to_read_is_told() -> None:
    for source, told in (
        (Small(["a note"]), "holds no codes, and codes needs them: use lsa"),
        (Small(codes=[[], []]), "finds no code that 1 units"),
        (Small(codes=[[UNGROUPED]]), "finds no code that 1 units"),
    ):
        with pytest.raises(EncoderError, match=told):
            Codes().fit(source)
    with pytest.raises(EncoderError, match="finds no code that 9 units"):
        fitted("codes:min_units=9", [[SEPSIS]] * 8)
    with pytest.raises(NoText, match="reads codes alone"):
        fitted().encode_text(["sepsis"])
    with pytest.raises(EncoderError, match="not trained yet"):
        _ = Codes().fingerprint
    for spec, told in (
        ("codes:dim=1", "at least 2"),
        ("codes:principal=0", "above 0"),
        ("codes:half_life=-1", "it must be 0 or more"),
        ("codes:half_life=nan", "it must be 0 or more"),
        ("codes:principal=inf", "above 0"),
        ("codes:columns=some", "groups, each"),
    ):
        with pytest.raises(EncoderError, match=told):
            make_encoder(spec)


def laboratory_values(source: Small, low: list[int]) -> Any:
    """Return a source whose units were admitted, and measured: those of `low` far below the others."""

    class Measured(Small):
        def _batch(self, rows: range) -> Batch:
            made = source._batch(rows)
            began = pd.Timestamp("2150-01-01")
            values = [
                (f"u{row}", None, "Sodium", began, 110.0 if row in low else 140.0, "mEq/L") for row in rows
            ]
            measured = laboratory_rows(values)
            return replace(made, units=made.units.assign(admitted=began), measurements=measured)

    return Measured(codes=source.codes)


def test_flags_of_laboratory_values_stand_beside_codes(tmp_path: Path) -> None:
    low = list(range(0, 60, 4))
    source = laboratory_values(Small(codes=PEOPLE), low)
    plain, beside = make_encoder("codes").fit(source), make_encoder("codes:labs=2").fit(source)
    assert isinstance(beside, Codes)
    codes = [[FAILURE], [FAILURE], [FAILURE]]
    asked = laboratory_values(Small(codes=codes), [0, 1]).batch
    first, second, third = beside.encode(asked)
    assert first @ second > first @ third + 0.1
    np.testing.assert_array_equal(*plain.encode(asked)[[0, 2]])
    assert "lab:Sodium [mEq/L]:low" in dict(beside.explain(asked)[1][0].reasons)
    beside.save(tmp_path / "kept")
    again = load_encoder(tmp_path / "kept")
    assert again.fingerprint == beside.fingerprint
    assert again.encode(asked).tobytes() == beside.encode(asked).tobytes()


def test_what_a_flag_weighs_is_chosen_for_a_target(tmp_path: Path) -> None:
    """Who was low shares a label, of which codes know nothing; where codes make the label, flags are in the way."""
    low = list(range(0, 60, 4))
    label = ["low" if row in low else "not" for row in range(210)]
    measured = laboratory_values(Small(codes=PEOPLE, label_x=label), low)
    chosen = make_encoder("codes:target=x").fit(measured)
    assert chosen.describe()["a flag weighs"] > 0
    failing = ["yes" if FAILURE in codes else "no" for codes in PEOPLE]
    codes_matter = make_encoder("codes:target=x").fit(
        laboratory_values(Small(codes=PEOPLE, label_x=failing), low)
    )
    assert codes_matter.describe()["a flag weighs"] < chosen.describe()["a flag weighs"]
    chosen.save(tmp_path / "kept")
    assert load_encoder(tmp_path / "kept").describe() == chosen.describe()
    with pytest.raises(EncoderError, match="labs is given, or chosen for a target"):
        make_encoder("codes:labs=1,target=died")
