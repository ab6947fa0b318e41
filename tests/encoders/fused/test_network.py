"""The network of fused and its losses, against plain numpy."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from cohorts.encoders.fused.encoder import Fused
from cohorts.encoders.fused.network import Fusion, Modalities
from cohorts.encoders.fused.objectives import Supervised, Targets, info_nce, make_objective
from cohorts.encoders.fused.settings import Settings, identity
from cohorts.encoders.registry import make_encoder
from cohorts.errors import EncoderError

TEXT, COLUMNS, WIDTH = 6, 5, 8
Array = npt.NDArray[np.float64]


def numbers(kind: str) -> tuple[Fusion, dict[str, Array]]:
    """Return a network and its weights as plain arrays."""
    torch.manual_seed(4)
    fusion = Fusion(kind, TEXT, COLUMNS, WIDTH)
    with torch.no_grad():
        for one in (getattr(fusion, name, None) for name in ("no_text", "no_records")):
            if one is not None:
                one.normal_()
    fusion.centre(torch.randn(30, TEXT) + 2)
    return fusion, {name: one.numpy().astype(np.float64) for name, one in fusion.state_dict().items()}


def units(n: int = 7) -> Modalities:
    """Some units; the second has no notes, the third no records."""
    rng = np.random.default_rng(1)
    text = rng.normal(size=(n, TEXT)).astype(np.float32)
    records = (rng.random((n, COLUMNS)) < 0.5).astype(np.float32)
    records[:, 0] = 1
    has_text, has_records = np.ones(n, bool), np.ones(n, bool)
    has_text[1], has_records[2] = False, False
    return Modalities(*map(torch.from_numpy, (text, has_text, records, has_records)))


def relu_side(given: Array, weight: Array, bias: Array, there: npt.NDArray[np.bool_], absent: Array) -> Array:
    rows = [
        np.maximum(0, weight @ row + bias) if here else absent for row, here in zip(given, there, strict=True)
    ]
    return np.stack(rows)


def sides(given: Modalities, w: dict[str, Array]) -> tuple[Array, Array]:
    text = (given.text.numpy() - w["text_mean"]) / w["text_scale"]
    return (
        relu_side(text, w["text.weight"], w["text.bias"], given.has_text.numpy(), w["no_text"]),
        relu_side(
            given.records.numpy(),
            w["records.weight"],
            w["records.bias"],
            given.has_records.numpy(),
            w["no_records"],
        ),
    )


def vectors(fusion: Fusion, given: Modalities) -> Array:
    with torch.no_grad():
        return fusion(given).vector.numpy().astype(np.float64)  # type: ignore[no-any-return]


def test_the_gate_is_that_of_the_paper() -> None:
    fusion, w = numbers("gated")
    text, records = sides(units(), w)
    gate = 1 / (1 + np.exp(-(np.concatenate([records, text], axis=1) @ w["gate.weight"].T + w["gate.bias"])))
    np.testing.assert_allclose(vectors(fusion, units()), gate * records + (1 - gate) * text, atol=1e-5)
    fused = fusion(units())
    np.testing.assert_allclose(fused.gate.detach(), gate, atol=1e-6)
    np.testing.assert_allclose(fused.from_records.detach(), gate * records, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fused.direction.detach(), axis=1), 1, atol=1e-6)


def test_an_embedding_layer_sums_a_vector_for_each_code() -> None:
    """The paper, section 3.2: a lookup table, without a ReLU, which the text alone has."""
    torch.manual_seed(4)
    fusion, given = Fusion("structured", TEXT, COLUMNS, WIDTH, "embedding"), units()
    table, absent = fusion.records.weight.detach().numpy().T, fusion.no_records.detach().numpy()
    for row, vector in enumerate(vectors(fusion, given)):
        codes = np.flatnonzero(given.records[row].numpy())
        expected = table[codes].sum(axis=0) if given.has_records[row] else absent
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert (vectors(fusion, given) < 0).any()
    assert "records.bias" not in fusion.state_dict()
    for kind in ("gated", "concat", "attention"):
        assert np.isfinite(vectors(Fusion(kind, TEXT, COLUMNS, WIDTH, "embedding"), given)).all()


def test_notes_may_stay_where_they_are() -> None:
    fusion, text = Fusion("text", TEXT, COLUMNS, WIDTH), torch.randn(30, TEXT) + 2
    fusion.centre(text, "none")
    assert not fusion.text_mean.any()
    assert float(fusion.text_scale) == pytest.approx(float(text.square().mean().sqrt()))


def test_one_modality_alone_and_both_side_by_side() -> None:
    fusion, w = numbers("concat")
    text, records = sides(units(), w)
    together = np.concatenate([w["mix_text.weight"], w["mix_records.weight"]], axis=1)
    np.testing.assert_allclose(
        vectors(fusion, units()), np.concatenate([text, records], axis=1) @ together.T, atol=1e-5
    )
    for kind, place in (("text", 0), ("structured", 1)):
        fusion, w = numbers(kind)
        both = {**numbers("gated")[1], **w}
        np.testing.assert_allclose(vectors(fusion, units()), sides(units(), both)[place], atol=1e-5)


def attended(text: Array, tokens: Array, w: dict[str, Array], heads: int) -> Array:
    """Scaled dot-product attention of one unit's notes over its tokens, head by head."""
    queries, keys, values = (
        side @ weight.T + bias
        for side, weight, bias in zip(
            (text[None], tokens, tokens),
            np.split(w["attend.in_proj_weight"], 3),
            np.split(w["attend.in_proj_bias"], 3),
            strict=True,
        )
    )
    each = WIDTH // heads
    found = []
    for head in range(heads):
        part = slice(head * each, (head + 1) * each)
        scores = keys[:, part] @ queries[0, part] / each**0.5
        weights = np.exp(scores - scores.max())
        found.append(weights / weights.sum() @ values[:, part])
    return np.concatenate(found) @ w["attend.out_proj.weight"].T + w["attend.out_proj.bias"]


def test_attention_reads_the_codes_that_a_unit_has_and_no_others() -> None:
    fusion, w = numbers("attention")
    given = units()
    text, _ = sides(given, w)
    expected = []
    for row in range(len(text)):
        codes = np.flatnonzero(given.records[row]) if given.has_records[row] else np.array([], int)
        tokens = w["records.weight"].T[codes] + w["records.bias"] if len(codes) else w["no_records"][None]
        expected.append(text[row] + attended(text[row], tokens, w, heads=4))
    np.testing.assert_allclose(vectors(fusion, given), np.stack(expected), atol=1e-5)
    alone = vectors(fusion, given.take(torch.tensor([0])))  # other units' codes are no padding of this one's
    np.testing.assert_allclose(alone[0], expected[0], atol=1e-5)


def log_loss(logits: Array, truth: Array) -> float:
    told = 1 / (1 + np.exp(-logits))
    return float(-(truth * np.log(told) + (1 - truth) * np.log(1 - told)).mean())


def heads(objective: Supervised) -> list[Array]:
    return [one.detach().numpy().astype(np.float64) for one in objective.parameters()]


def targets(phenotypes: int) -> Targets:
    rng = np.random.default_rng(3)
    died = np.array([1, 0, 0, np.nan, 1, 0, 0])
    stay = np.array([0.3, np.nan, -1, 0.1, 2, np.nan, 0])
    having = (rng.random((7, phenotypes)) < 0.4).astype(np.float32)
    return Targets(*(torch.from_numpy(one.astype(np.float32)) for one in (died, stay, having)))


def test_mortality_is_the_cross_entropy_of_those_whose_ending_is_known() -> None:
    fusion, _ = numbers("gated")
    objective = make_objective("mortality", WIDTH, 3)
    assert isinstance(objective, Supervised)
    weight, bias = heads(objective)
    died = targets(3).died.numpy()
    known = ~np.isnan(died)
    logits = vectors(fusion, units()) @ weight[0] + bias
    loss = float(objective(fusion, units(), targets(3)).detach())
    assert loss == pytest.approx(log_loss(logits[known], died[known]), abs=1e-5)


def test_multitask_is_the_mean_of_three_losses() -> None:
    fusion, _ = numbers("concat")
    objective = make_objective("multitask", WIDTH, 3)
    assert isinstance(objective, Supervised)
    weight, bias, more, more_bias = heads(objective)
    wanted, vector = targets(3), vectors(fusion, units())
    died, stay = wanted.died.numpy(), wanted.stay.numpy()
    told = vector @ more.T + more_bias
    losses = [
        log_loss((vector @ weight[0] + bias)[~np.isnan(died)], died[~np.isnan(died)]),
        float(((told[:, 0] - stay)[~np.isnan(stay)] ** 2).mean()),
        log_loss(told[:, 1:], wanted.phenotypes.numpy()),
    ]
    assert float(objective(fusion, units(), wanted).detach()) == pytest.approx(np.mean(losses), abs=1e-5)


def test_what_nobody_knows_costs_nothing() -> None:
    fusion, _ = numbers("gated")
    nothing = Targets(*(torch.full_like(one, torch.nan) for one in targets(3)))
    loss = make_objective("multitask", WIDTH, 3)(fusion, units(), nothing)
    assert float(loss.detach()) == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is None or not one.grad.isnan().any() for one in fusion.parameters())


def nce(one: Array, other: Array, temperature: float) -> float:
    one, other = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (one, other))
    alike = np.exp(one @ other.T / temperature)
    both_ways = [-np.log(np.diag(alike) / alike.sum(axis=axis)).mean() for axis in (1, 0)]
    return float(np.mean(both_ways))


def test_the_contrastive_loss_draws_a_patients_parts_together() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, WIDTH)).astype(np.float32)
    loss = float(info_nce(torch.from_numpy(one), torch.from_numpy(other), 0.3))
    assert loss == pytest.approx(nce(one, other, 0.3), abs=1e-5)
    fusion, _ = numbers("gated")
    given = units()
    both = given.take(torch.tensor([0, 3, 4, 5, 6]))  # those that have notes and records
    none = torch.zeros(5, dtype=torch.bool)
    parts = [both._replace(has_records=none), both._replace(has_text=none), both]
    notes, records, whole = (vectors(fusion, part) for part in parts)
    expected = np.mean([nce(*pair, 0.1) for pair in ((notes, records), (whole, notes), (whole, records))])
    assert float(
        make_objective("contrastive", WIDTH, 3)(fusion, given, targets(3)).detach()
    ) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "sum"}, "fused fusion is 'sum'; it is one of gated, concat, text, structured, attention"),
        ({"objective": "cost"}, "fused objective is 'cost'; it is one of mortality, multitask, contrastive"),
        ({"preset": "slow"}, "fused preset is 'slow'; it is one of fast, paper"),
        ({"fusion": "text", "objective": "contrastive"}, "fused:text can't be contrastive"),
        ({"fusion": "attention", "dim": 10}, "fused dim is 10; for attention it must be a multiple of 4"),
        ({"dropout": 1.5}, "fused dropout is 1.5; it is a share, from 0 to 1"),
        ({"lab_hours": -1.0}, "fused lab_hours is -1.0; it must be at least 0"),
        ({"epochs": 0}, "fused epochs is 0; it must be at least 1"),
        ({"pooling": "max"}, "bert pooling is 'max'"),
        ({"cleaning": "none"}, "bert cleaning is 'none'; it is one of cased, normalized"),
        ({"codes": "all"}, "fused codes is 'all'; it is one of groups, each"),
        ({"code_layer": "gelu"}, "fused code_layer is 'gelu'; it is one of relu, embedding"),
        ({"centring": "median"}, "fused centring is 'median'; it is one of mean, none"),
        ({"rate": 0.0}, "fused rate is 0.0; it must be above 0"),
        ({"model": "clinicalnotebert:huge"}, "clinicalnotebert size is 'huge'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        Settings(**settings)


PAPER = {
    "pooling": "cls-truncate",
    "cleaning": "normalized",
    "centring": "none",
    "codes": "each",
    "code_layer": "embedding",
    "min_units": 1,
    "lab_hours": 0.0,
    "dropout": 0.0,
    "rate": 2e-5,
}


def settings_of(spec: str) -> Settings:
    made = make_encoder(spec)
    assert isinstance(made, Fused)
    return made.settings


def test_one_setting_is_the_paper_and_what_stands_beside_it_counts() -> None:
    asked = asdict(settings_of("fused:preset=paper"))
    assert {name: asked[name] for name in PAPER} == PAPER
    assert (
        asked
        == asdict(settings_of("fused:gated,model=clinicalbert,preset=paper"))
        == asdict(Settings(preset="paper"))
    )
    assert (asked["fusion"], asked["objective"], asked["dim"]) == ("gated", "mortality", 256)
    assert (asked["epochs"], asked["patience"]) == (20, 3)
    mixed = asdict(settings_of("fused:dropout=0.3,preset=paper,pooling=auto,codes=groups,rate=0.01"))
    assert mixed == {**asked, "dropout": 0.3, "pooling": "auto", "codes": "groups", "rate": 0.01}
    assert asdict(settings_of("fused")) == asdict(Settings(preset="fast"))
    assert not PAPER.items() & asdict(Settings()).items()
    assert replace(Settings(preset="paper"), fusion="text") == Settings("text", preset="paper")


@pytest.mark.parametrize(
    ("spec", "objective"),
    [
        ("fused", "contrastive"),
        ("fused:concat,model=clinicalbert,rate=2e-5", "contrastive"),
        ("fused:attention", "contrastive"),
        ("fused:text", "mortality"),
        ("fused:structured", "mortality"),
        ("fused:preset=paper", "mortality"),
        ("fused:concat,preset=paper,rate=0.001", "mortality"),
        ("fused:objective=mortality", "mortality"),
        ("fused:structured,objective=multitask", "multitask"),
        ("fused:preset=paper,objective=contrastive", "contrastive"),
    ],
)
def test_notes_and_records_are_to_agree_unless_told_otherwise(spec: str, objective: str) -> None:
    assert settings_of(spec).objective == objective


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        ({}, "96f5ad344dece3fb"),
        ({"fusion": "structured"}, "6f1189afdcb514f7"),
        ({"preset": "paper"}, "9326d49aa5d9ed37"),
    ],
)
def test_fingerprints_stay_those_of_when_mortality_was_the_default(
    settings: dict[str, Any], digest: str
) -> None:
    """The digests were taken then, of `Settings(**settings)`; what was saved has its objective written down."""
    told = json.dumps(identity(Settings(**settings, objective="mortality")), sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == digest
    assert json.loads(told)["objective"] == "mortality"


@pytest.mark.parametrize(
    ("spec", "model", "pooling", "level"),
    [
        ("model=clinicalnotebert:tiny", "jhliu/ClinicalNoteBERT-tiny", "chunk-mean", "note"),
        (
            "concat,model=clinicalnotebert:tiny,simcse=segment,dim=64",
            "jhliu/ClinicalNoteBERT-tiny-simcse_segment",
            "chunk-cls",
            "segment",
        ),
        (
            "model=clinicalnotebert:small,dropout=0,simcse=note,pooling=chunk-mean",
            "jhliu/ClinicalNoteBERT-small-simcse_note",
            "chunk-mean",
            "note",
        ),
        ("preset=paper,model=bert:biobert", "biobert", "cls-truncate", "note"),
    ],
)
def test_the_text_encoder_may_be_named_with_settings_of_its_own(
    spec: str, model: str, pooling: str, level: str
) -> None:
    made = make_encoder(f"fused:{spec}")
    assert isinstance(made, Fused)
    assert made.text is not None
    text = made.text.settings
    assert (text.model, text.pooling, text.level) == (model, pooling, level)
    assert made.settings.dim == (64 if "dim" in spec else 256)


def test_a_key_that_nobody_knows_is_told_by_who_was_asked() -> None:
    with pytest.raises(EncoderError, match=r"'widths=3' is no setting: .* size, simcse"):
        make_encoder("fused:model=clinicalnotebert:tiny,widths=3")
    with pytest.raises(EncoderError, match=r"'widths=3' is no setting: .* fusion, model"):
        make_encoder("fused:model=clinicalbert,widths=3")
