"""Weights chosen for a target: the part that tells who is alike weighs most, by training patients alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.encoders import target_weights
from cohorts.encoders.base import Vectors
from cohorts.encoders.concat import Concat
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.target_weights import Asked, choose_weights
from cohorts.errors import EncoderError
from small_sources import Code, Small, diagnosis

ICD = ["S72001A", "0389", "4321", "5849", "4019", "25000", "41401", "486"]
MANY = 120


def planted(told_by: str) -> Small:
    """Return patients of four topics, which their notes tell, or their codes; the other is drawn by lot."""
    rng = np.random.default_rng(0)
    topic, lot = rng.integers(0, 4, MANY), rng.integers(0, 4, MANY)
    of_notes, of_codes = (topic, lot) if told_by == "notes" else (lot, topic)
    texts = [f"word{one}a word{one}b word{one}c w{rng.integers(9)}" for one in of_notes]
    codes: list[list[Code]] = [
        [diagnosis(ICD[one], 1), diagnosis(ICD[4 + int(rng.integers(4))], 2)] for one in of_codes
    ]
    principal = [ICD[one] for one in of_codes]
    return Small(
        texts,
        codes,
        label_topic=[f"T{one}" for one in topic],
        died=[bool(one % 2) for one in topic],
        principal_system=["ICD-10" if one[0] == "S" else "ICD-9" for one in principal],
        principal_code=principal,
    )


def fitted(source: Small, target: str) -> Concat:
    encoder = make_encoder(f"concat:lsa:dim=16+codes:dim=16,target={target}").fit(source)
    assert isinstance(encoder, Concat)
    return encoder


@pytest.mark.parametrize("target", ["topic", "died"])
@pytest.mark.parametrize("told_by", ["notes", "codes"])
def test_the_part_that_tells_weighs_most(told_by: str, target: str, tmp_path: Path) -> None:
    source = planted(told_by)
    encoder = fitted(source, target)
    notes, codes = encoder.settings.weights
    assert max(notes, codes) == 1
    assert (notes >= 4 * codes) if told_by == "notes" else (codes >= 4 * notes)
    plain = make_encoder("concat:lsa:dim=16+codes:dim=16").fit(source)
    topic = source.batch.units["label_topic"].to_numpy()

    def precision(one: Any) -> float:
        vectors = one.encode(source.batch)
        cosines = vectors @ vectors.T - 2 * np.eye(MANY)
        return float((topic[np.argsort(-cosines, axis=1)[:, :10]] == topic[:, None]).mean())

    assert precision(encoder) > precision(plain)
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, Concat)
    assert loaded.settings == encoder.settings
    assert loaded.settings.target == target
    assert loaded.encode(source.batch).tobytes() == encoder.encode(source.batch).tobytes()
    assert fitted(source, target).fingerprint == encoder.fingerprint


def test_the_principal_diagnosis_is_a_target_by_its_group() -> None:
    notes, codes = fitted(planted("notes"), "principal").settings.weights
    assert codes > notes  # the codes hold it, the notes tell another topic


def test_equal_weights_stay_where_no_others_do_better() -> None:
    source = planted("notes")
    texts = [text for text in source.texts if text]
    encoder = make_encoder("concat:lsa:dim=16+lsa:dim=16,target=topic").fit(
        Small(texts, label_topic=source.columns["label_topic"])
    )
    assert isinstance(encoder, Concat)
    assert encoder.settings.weights == [1, 1]


def asked_of(blocks: list[Vectors], shared: list[str | None], patients: list[str] | None = None) -> Asked:
    many = len(shared)
    asked = Asked("topic")
    whose = patients or [str(row) for row in range(many)]
    asked.add(Small([""] * many, label_topic=shared, patient_id=whose).batch, blocks)
    return asked


def one_hot(kinds: list[int], width: int = 64) -> Vectors:
    return np.eye(width, dtype=np.float32)[kinds]


def test_a_patients_own_units_tell_nothing() -> None:
    """By the first part a unit is like the patient's others alone; by the second like those of its topic."""
    topics, patients = [row // 2 % 4 for row in range(80)], [str(row // 2) for row in range(80)]
    blocks = [one_hot([row // 2 for row in range(80)]), one_hot(topics)]
    cosines, alike = asked_of(blocks, [f"T{one}" for one in topics], patients).cosines()
    assert cosines.shape == (2, 80, 80)
    assert np.isneginf(cosines[:, range(80), range(80)]).all()
    assert np.isneginf(cosines[:, 0, 1]).all()
    assert not alike[0, :2].any()
    assert alike[0].sum() == 18
    assert choose_weights(asked_of(blocks, [f"T{one}" for one in topics], patients))[1] == 1
    notes, _ = choose_weights(asked_of(blocks[::-1], [f"T{one}" for one in topics], patients))
    assert notes == 1


def test_one_of_several_labels_is_enough_to_be_alike() -> None:
    shared = ["a;b", "B", "c | a", "none", "", None] + ["x", "x"] * 10
    cosines, alike = asked_of([one_hot([0] * 26)] * 2, shared).cosines()
    assert alike[0, :6].tolist() == [False, True, True, False, False, False]
    assert alike[1, :6].tolist() == [True, False, False, False, False, False]
    assert len(cosines[0]) == 23  # those without a label are not asked about


@pytest.mark.parametrize("target", ["topic", "died", "principal"])
def test_too_few_to_choose_by_are_told(target: str) -> None:
    source = planted("notes")
    columns: dict[str, Any] = {name: list(one)[:12] for name, one in source.columns.items()}
    few = Small(source.texts[:12], source.codes[:12], **columns)
    told = rf"can't be chosen for {target}: only \d+ of the units share it with another patient, and 20 are needed"
    with pytest.raises(EncoderError, match=told):
        fitted(few, target)


def test_what_no_unit_knows_can_not_be_shared() -> None:
    source = Small(["a b"] * 30, [[diagnosis("0389")]] * 30)  # nothing is known of died and principal
    for target in ("died", "principal"):
        with pytest.raises(EncoderError, match="only 0 of the units share it"):
            fitted(source, target)


def test_a_label_that_is_not_there_is_told_with_those_there_are() -> None:
    with pytest.raises(EncoderError, match=r"target=tpoic: .* Targets: died, principal, topic\."):
        fitted(planted("notes"), "tpoic")


def test_no_more_units_are_read_than_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_weights, "_MOST", 50)
    source = planted("codes")
    source.per = 25
    read: list[int] = []
    add = Asked.add

    def counted(asked: Asked, batch: Any, blocks: list[Vectors]) -> None:
        read.append(len(batch))
        add(asked, batch, blocks)

    monkeypatch.setattr(Asked, "add", counted)
    assert fitted(source, "topic").settings.weights[1] == 1
    assert read == [25, 25]


def test_what_is_chosen_is_not_given_too() -> None:
    with pytest.raises(EncoderError, match="and not both"):
        make_encoder("concat:lsa=1,codes=2,target=died")
