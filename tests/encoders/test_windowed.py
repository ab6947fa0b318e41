"""Encoders of what is known by a time: trained, kept, told, and found again as such."""

from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.base import Encoder
from cohorts.encoders.fingerprint import check_kind
from cohorts.encoders.needs import frames_read
from cohorts.encoders.registry import DEFAULT, load_encoder, make_encoder, parse_encoder, suited_to
from cohorts.encoders.specs import EncoderSpec
from cohorts.encoders.views.windowed import as_of
from cohorts.errors import EncoderError, FingerprintMismatch, InputError
from cohorts.records.base import Batch
from cohorts.records.window import AsOf, parse_window
from cohorts.records.withheld import Withheld
from small_sources import Small, day, diagnosis

DAY = parse_window("admission+24h")
TEXTS = [f"heart failure with oedema ward {number}" for number in range(12)]
CODES = [[diagnosis("428.0"), diagnosis("401.9")] for _ in TEXTS]


class Dated(Small):
    """A source of which every other unit's note is late, and whose codes are of a stay before."""

    def _batch(self, rows: range) -> Batch:
        made = super()._batch(rows)
        made.units["admitted"] = day("2101-05-02 08:00")
        made.units["admission_id"] = made.units["unit_id"] + "-2"
        late = np.array([int(unit[1:]) % 2 for unit in made.notes["unit_id"]], bool)
        made.notes["time"] = day("2101-05-02 09:00")
        made.notes.loc[late, "time"] = day("2101-05-04 09:00")
        made.codes["time"] = day("2101-01-02 09:00")
        return made


def source() -> Dated:
    return Dated(TEXTS, CODES)


@pytest.fixture(scope="module")
def trained() -> Encoder:
    return make_encoder(parse_encoder("lsa:dim=4,min_df=1,max_df=1", Withheld(("sepsis",)), DAY)).fit(
        source()
    )


def test_it_is_trained_on_and_encodes_what_is_known(trained: Encoder) -> None:
    (known,) = AsOf(source(), DAY).batches()
    own = make_encoder(parse_encoder("lsa:dim=4,min_df=1,max_df=1", Withheld(("sepsis",)))).fit(
        AsOf(source(), DAY)
    )
    vectors = trained.encode(source().batch)
    np.testing.assert_array_equal(vectors, own.encode(known))
    assert vectors.any(axis=1).tolist() == [number % 2 == 0 for number in range(len(TEXTS))]


def test_it_is_kept_with_its_window(trained: Encoder, tmp_path: Path) -> None:
    trained.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert (loaded.fingerprint, as_of(loaded)) == (trained.fingerprint, "admission+24h")
    assert loaded.describe()["as_of"] == "admission+24h"
    assert loaded.describe()["withheld"] == ["sepsis"]
    np.testing.assert_array_equal(loaded.encode(source().batch), trained.encode(source().batch))
    (tmp_path / "as_of.json").write_text('{"as_of": 3}')
    with pytest.raises(EncoderError, match=r"as_of\.json"):
        load_encoder(tmp_path)


def test_another_window_is_another_encoder(trained: Encoder) -> None:
    spec = "lsa:dim=4,min_df=1,max_df=1"
    whole = make_encoder(spec).fit(source())
    other = make_encoder(parse_encoder(spec, None, parse_window("admission+25h"))).fit(source())
    assert len({trained.fingerprint, whole.fingerprint, other.fingerprint}) == 3
    assert as_of(whole) == "whole stay"
    assert parse_encoder(spec, None, DAY) != parse_encoder(spec)
    assert str(parse_encoder(DEFAULT, None, DAY)) == "concat:lsa+codes as of admission+24h"
    assert suited_to(parse_encoder(DEFAULT, None, DAY), Small(TEXTS)) == EncoderSpec("lsa", window=DAY)


def test_a_collection_of_another_window_is_told_apart_before_training(trained: Encoder) -> None:
    made_by = {"encoder": "lsa"}
    with pytest.raises(
        FingerprintMismatch, match=r"vectors of whole stay; asked for are those of admission\+24h"
    ):
        check_kind("icu", 4, made_by, trained)
    check_kind("icu", 4, made_by | {"as_of": "admission+24h"}, trained)


def test_units_without_the_times_are_counted(trained: Encoder) -> None:
    icu = make_encoder(parse_encoder("codes:dim=4", None, parse_window("icu..icu+24h")))
    assert "events" in frames_read(icu)
    assert "events" not in frames_read(trained)
    with pytest.raises(InputError, match=r"No patient of 12 has the times of icu\.\.icu\+24h"):
        icu.fit(source())
    lost = Dated(TEXTS[:2], CODES[:2]).batch
    lost.units["admitted"] = lost.units["admitted"].mask(lost.units["unit_id"] == "u0")
    before = trained.counts.get("units without the times of admission+24h", 0)
    assert not trained.encode(lost).any()
    assert trained.counts["units without the times of admission+24h"] == before + 1


def test_parts_have_no_windows_of_their_own() -> None:
    with pytest.raises(EncoderError, match="give the window to concat itself"):
        make_encoder("concat", parts=[EncoderSpec("lsa", window=DAY), "codes"])
