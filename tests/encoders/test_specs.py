"""Encoders are asked for by objects: a name, settings, what is withheld; a text is read once, and no text is pasted."""

from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_checkpoint
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.codes import Codes
from cohorts.encoders.concat import Concat
from cohorts.encoders.registry import make_encoder, parse_encoder
from cohorts.encoders.specs import EncoderSpec
from cohorts.encoders.views.withholding import Withholding
from cohorts.errors import EncoderError
from cohorts.records.withheld import Withheld

SEPSIS = Withheld(("sepsis",))


def test_a_checkpoint_path_may_say_without(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "models without sepsis", ["a patient with a fall"])
    encoder = make_encoder(parse_encoder(f"bert:{folder},precision=fp32", SEPSIS))
    assert isinstance(encoder, Withholding)
    assert isinstance(encoder.encoder, Bert)
    assert encoder.encoder.settings.model == str(folder)
    assert encoder.encode_text(["a fall"]).any()


def test_settings_may_be_given_one_by_one() -> None:
    for encoder in (
        make_encoder("codes", dim=64),
        make_encoder("codes:half_life=2", dim=np.int64(64)),
        make_encoder(EncoderSpec("codes", {"dim": 64})),
    ):
        assert isinstance(encoder, Codes)
        assert encoder.dim == 64
    both = make_encoder("concat", parts=[EncoderSpec("lsa", {"dim": 8}), "codes:dim=16"], weights=[1, 0.5])
    assert isinstance(both, Concat)
    assert both.settings.parts == ["lsa:dim=8", "codes:dim=16"]
    assert both.settings.weights == [1.0, 0.5]
    assert [part.dim for part in both.parts] == [8, 16]


def test_what_a_text_says_is_what_the_settings_say() -> None:
    assert parse_encoder("word2vec:dim=64,input=both") == EncoderSpec(
        "word2vec", {"dim": 64, "input": "both"}
    )
    assert parse_encoder("fineehr:full") != parse_encoder("fineehr:metric")
    assert parse_encoder("lsa", SEPSIS) != parse_encoder("lsa")


def test_a_spec_is_told_in_one_line() -> None:
    assert str(parse_encoder("bert:biobert")) == "bert:biobert"
    assert str(EncoderSpec("codes", {"dim": 64})) == "codes:dim=64"
    assert str(parse_encoder("concat:lsa+codes", Withheld(("sepsis", "stroke"), text=True))) == (
        "concat:lsa+codes without sepsis+stroke in notes too"
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dim": "64"}, "dim is '64', a str: it is a whole number"),
        ({"dim": True}, "dim is True, a bool: it is a whole number"),
        ({"size": 64}, "'size' is no setting: there are dim, "),
        ({"target": 3}, "target is 3, a int: it is text"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(settings: dict[str, object], told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        make_encoder("codes", **settings)


def test_a_concat_has_its_own_settings() -> None:
    with pytest.raises(
        EncoderError, match="concat has the settings parts, weights and target; got parts, dim"
    ):
        make_encoder("concat", parts=["lsa", "codes"], dim=3)
