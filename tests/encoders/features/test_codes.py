"""Codes as features, and what is withheld from them and from the notes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.features.codes import CodeFeatures, tokens_of
from cohorts.encoders.registry import load_encoder
from cohorts.encoders.views.withholding import FILE, Withholding
from cohorts.encoders.word2vec import Settings, Word2Vec
from cohorts.errors import EncoderError
from cohorts.records.base import Batch
from cohorts.records.codes.phenotypes import load_phenotypes, phenotypes_of, stating
from cohorts.records.sources.registry import open_source
from cohorts.records.withheld import Withheld

ROWS = [
    ("1", "diagnosis", "ICD-9", "4280"),
    ("1", "diagnosis", "ICD-10", "I509"),  # the same group
    ("1", "drug", "name", "Furosemide 40mg Tab"),
    ("2", "diagnosis", "ICD-10", "I5021"),
    ("2", "drug", "name", "furosemide"),
    ("2", "procedure", "ICD-9", "3995"),
    ("3", "diagnosis", "ICD-9", "0389"),
    ("3", "procedure", "ICD-10", "ZZZ"),  # no group has it
]


def batch_of(rows: list[tuple[str, str, str, str]], texts: list[str] | None = None) -> Batch:
    units = pd.DataFrame({"unit_id": ["1", "2", "3"]})
    notes = pd.DataFrame({"unit_id": "1", "text": texts or []})
    return Batch(
        units, pd.DataFrame(rows, columns=["unit_id", "kind", "system", "code"]), notes, pd.DataFrame()
    )


def test_both_classifications_share_columns_and_rare_ones_are_left_out() -> None:
    features = CodeFeatures.learn([batch_of(ROWS)], min_units=2)
    assert features.columns == ["diagnosis:heart_failure", "drug:furosemide"]
    matrix = features.transform(batch_of(ROWS))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), [[1, 1], [1, 1], [0, 0]])
    assert features.counts == {
        "procedure codes not seen in training": 1,
        "diagnosis codes not seen in training": 1,
        "procedure codes without a group": 1,
    }


def test_each_code_may_have_a_column_of_its_own() -> None:
    features = CodeFeatures.learn([batch_of(ROWS)], min_units=1, of="each")
    assert features.columns == [
        "diagnosis:ICD-10:I5021",
        "diagnosis:ICD-10:I509",
        "diagnosis:ICD-9:0389",
        "diagnosis:ICD-9:4280",
        "drug:furosemide",
        "drug:furosemide 40mg tab",
        "procedure:ICD-10:ZZZ",  # which no group has
        "procedure:ICD-9:3995",
    ]
    np.testing.assert_array_equal(features.transform(batch_of(ROWS)).toarray()[0], [0, 1, 0, 1, 0, 1, 0, 0])
    assert not features.counts


def test_a_unit_counts_once_over_batches_and_no_codes_are_no_crash() -> None:
    features = CodeFeatures.learn([batch_of(ROWS), batch_of([])], min_units=1)
    assert len(features.columns) == 4
    assert features.transform(batch_of([])).shape == (3, 4)
    assert CodeFeatures.learn([], 1).transform(batch_of(ROWS)).shape == (3, 0)


def test_an_unknown_phenotype_is_told_with_those_there_are() -> None:
    with pytest.raises(
        EncoderError, match=r"no phenotype 'flu' to withhold. Phenotypes: acute_kidney_injury, "
    ):
        Withheld(("flu",))
    with pytest.raises(EncoderError, match="Name the phenotypes to withhold, or all"):
        Withheld(())


@pytest.fixture(scope="module")
def real_batches(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    """Read the real records of both MIMICs once."""
    work = tmp_path_factory.mktemp("work")
    batches: list[Batch] = []
    for source in ("mimic3", "mimic4"):
        with open_source(
            source, shared_data / f"{source}-demo", work_dir=work, quarantine_file=work / "bad"
        ) as opened:
            batches += opened.batches()
    return batches


@pytest.mark.parametrize("name", [one.name for one in load_phenotypes()])
def test_no_withheld_code_reaches_the_features(real_batches: list[Batch], name: str) -> None:
    seen = 0
    for batch in real_batches:
        seen += int((phenotypes_of(batch.codes) == name).sum())
        left = Withheld((name,)).apply(batch)
        assert not (phenotypes_of(left.codes) == name).any()
        assert len(left.codes) == len(batch.codes) - stating(batch.codes, [name]).sum()
        assert CodeFeatures.learn([left], 1).transform(left).sum() > 0
    assert seen


def test_what_implies_a_phenotype_is_withheld_with_it() -> None:
    codes = [*ROWS, ("3", "diagnosis", "ICD-9", "78552"), ("3", "diagnosis", "ICD-10", "T8112XA")]
    left = Withheld(("sepsis",)).apply(batch_of(codes))
    assert left.codes["code"].tolist() == [code for *_, code in ROWS if code != "0389"]
    before = Withheld(("sepsis",), implied=False).apply(batch_of(codes))
    assert before.codes["code"].tolist()[-2:] == ["78552", "T8112XA"]


def test_an_encoder_of_before_goes_on_as_it_was_made(tmp_path: Path) -> None:
    """It is queried and written by its fingerprint: what is withheld from it stays, and so does its file."""
    encoder = Word2Vec(Settings(dim=4, pooling="mean"))
    encoder._hold(["hip", "fall"], np.ones((2, 4), np.float32))
    Withholding(encoder, Withheld(("sepsis",))).save(tmp_path)
    new = load_encoder(tmp_path)
    assert isinstance(new, Withholding)
    assert new.withheld == Withheld(("sepsis",), implied=True)
    old = {"withheld": ["sepsis"], "withheld_text": False}
    (tmp_path / FILE).write_text(json.dumps(old))
    restored = load_encoder(tmp_path)
    assert isinstance(restored, Withholding)
    assert restored.withheld == Withheld(("sepsis",), implied=False)
    facts = json.dumps({"encoder": encoder.fingerprint, **old}, sort_keys=True)
    assert restored.fingerprint == hashlib.sha256(facts.encode()).hexdigest()[:16] != new.fingerprint
    restored.save(tmp_path)
    assert json.loads((tmp_path / FILE).read_text()) == old


def test_withheld_words_leave_the_notes_in_whatever_case_they_stand() -> None:
    texts = ["Admission Dx: SEPSIS.", "Congestive  Heart\nFailure, CHF; no chfx", "fracture of hip"]
    withheld = Withheld(("sepsis", "heart_failure"), text=True)
    masked = list(withheld.apply(batch_of(ROWS, texts)).notes["text"])
    assert [" ".join(text.split()) for text in masked] == [
        "Admission Dx: .",
        ", ; no chfx",
        "fracture of hip",
    ]
    assert list(Withheld(("sepsis",)).apply(batch_of(ROWS, texts)).notes["text"]) == texts


def test_tokens_name_their_kind() -> None:
    assert tokens_of(batch_of(ROWS).codes)[2:6:3] == ["drug:furosemide", "procedure:dialysis"]
