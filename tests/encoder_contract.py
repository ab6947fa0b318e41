"""What every encoder has to hold: the suite that an encoder of another package inherits."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.base import Encoder, Explains, ExplainsText, padding_of
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.errors import EncoderError, NoText
from small_sources import Small, diagnosis

TOPICS = (
    ("worsening heart failure with leg oedema and furosemide", ("428.0", "401.9", "427.31")),
    ("septic shock of pneumonia on broad antibiotics", ("038.9", "486", "785.52")),
    ("hip fracture after a fall at home", ("820.21", "E885.9", "733.00")),
)
NOTES = [f"{text} day {number % 4} ward {number % 5}" for number in range(8) for text, _ in TOPICS]
CODES = [list(map(diagnosis, codes[: 2 + number % 2])) for number in range(8) for _, codes in TOPICS]


def source(per: int = 1_000) -> Small:
    """Return 24 units of three kinds, in batches of so many."""
    return Small(NOTES, CODES, per=per)


class EncoderContract:
    """The suite. A subclass says by `asked` how the encoder is asked for; its settings must suit 24 small units."""

    asked: str

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls) -> Encoder:
        return cls.made().fit(source())

    @classmethod
    def made(cls) -> Encoder:
        return make_encoder(cls.asked)

    def test_an_untrained_encoder_has_no_fingerprint(self) -> None:
        with pytest.raises(EncoderError):
            _ = self.made().fingerprint

    def test_fit_returns_the_encoder(self) -> None:
        encoder = self.made()
        assert encoder.fit(source()) is encoder

    def test_rows_are_float32_and_of_length_1_or_0(self, trained: Encoder) -> None:
        vectors = trained.encode(source().batch)
        assert vectors.shape == (len(NOTES), trained.dim)
        assert vectors.dtype == np.float32
        lengths = np.linalg.norm(vectors, axis=1)
        assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))
        assert lengths.any()

    def test_a_unit_with_nothing_to_encode_is_a_row_of_zeros(self, trained: Encoder) -> None:
        assert not trained.encode(Small([None], [[]]).batch).any()

    def test_a_batch_may_be_empty(self, trained: Encoder) -> None:
        assert trained.encode(Small([], []).batch).shape == (0, trained.dim)

    def test_a_row_depends_on_its_unit_alone(self, trained: Encoder) -> None:
        whole = trained.encode(source().batch)
        parts = np.concatenate([trained.encode(batch) for batch in source(per=5).batches()])
        np.testing.assert_allclose(parts, whole, atol=1e-6)

    def test_how_a_stay_ended_is_in_no_vector(self, trained: Encoder) -> None:
        batch = source().batch
        units = batch.units.assign(died=True, stay_days=99.0, icu_days=9.0, admissions=9, label_ward="X")
        units = units.assign(principal_system="ICD-9", principal_code="0389", principal_title="Septicemia")
        other = replace(batch, units=units)
        assert trained.encode(other).tobytes() == trained.encode(batch).tobytes()

    def test_batches_teach_what_one_does(self, trained: Encoder) -> None:
        assert self.made().fit(source(per=7)).fingerprint == trained.fingerprint

    def test_the_fingerprint_follows_what_was_learnt(self, trained: Encoder) -> None:
        other = Small([f"{text} unlike" for text in NOTES], [[diagnosis("250.00"), *one] for one in CODES])
        assert self.made().fit(other).fingerprint != trained.fingerprint

    def test_what_is_saved_encodes_the_same_bytes(self, trained: Encoder, tmp_path: Path) -> None:
        trained.save(tmp_path / "kept")
        loaded = load_encoder(tmp_path / "kept")
        assert (loaded.name, loaded.dim) == (trained.name, trained.dim)
        assert loaded.fingerprint == trained.fingerprint
        assert padding_of(loaded) == padding_of(trained)
        batch = source().batch
        assert loaded.encode(batch).tobytes() == trained.encode(batch).tobytes()

    def test_what_is_saved_is_private_and_no_pickle(self, trained: Encoder, tmp_path: Path) -> None:
        trained.save(tmp_path / "kept")
        files = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
        assert {file.suffix for file in files} <= {".json", ".safetensors", ".txt"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        about = json.loads((tmp_path / "kept" / "encoder.json").read_text(encoding="utf-8"))
        assert about["name"] == trained.name

    def test_it_says_what_it_is(self, trained: Encoder) -> None:
        told = trained.describe()
        assert (told["name"], told["fingerprint"]) == (trained.name, trained.fingerprint)
        json.dumps(told)

    def test_a_text_is_a_row_of_the_same_space_or_refused(self, trained: Encoder) -> None:
        try:
            vectors = trained.encode_text([TOPICS[0][0], ""])
        except NoText:
            return
        assert vectors.shape == (2, trained.dim)
        assert vectors.dtype == np.float32
        assert vectors[0].any()
        assert not vectors[1].any()
        assert padding_of(trained) is None or not vectors[:, padding_of(trained)].any()

    def test_explanations_are_of_the_same_vectors(self, trained: Encoder) -> None:
        if not isinstance(trained, Explains):
            return
        batch = source().batch
        vectors, told = trained.explain(batch)
        assert vectors.tobytes() == trained.encode(batch).tobytes()
        assert len(told) in (0, len(batch))

    def test_words_add_up_to_the_cosine(self, trained: Encoder) -> None:
        if not isinstance(trained, ExplainsText):
            return
        vectors, text = trained.encode(source().batch), TOPICS[1][0]
        shares = [sum(share for _, share in words) for words in trained.explain_text(text, vectors)]
        np.testing.assert_allclose(shares, vectors @ trained.encode_text([text])[0], atol=1e-4)
