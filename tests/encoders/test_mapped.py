"""Encoders that see codes by concept maps: the maps are part of them, of what is kept and of the fingerprint."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.codes import Codes
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.registry import load_encoder, make_encoder, parse_encoder
from cohorts.encoders.views.mapped import FILE, Mapped
from cohorts.errors import EncoderError
from cohorts.records.codes.concepts.built_in import open_maps
from cohorts.records.withheld import Withheld
from command_line import ok, refused
from small_hospitals import mimic3
from small_sources import Small, diagnosis

LASIX, FUROSEMIDE = ("drug", "name", "Lasix"), ("drug", "name", "Furosemide 40mg Tab")
ZOSYN = ("drug", "name", "Zosyn")
UNITS = [
    [LASIX, diagnosis("4280", 1)],
    [FUROSEMIDE, diagnosis("I509", 1)],
    [ZOSYN, diagnosis("0389", 1)],
    [("drug", "name", "Piperacillin"), diagnosis("A419", 1)],
]
OWN = "kind,system,code,concept,title\ndiagnosis,ICD-9,0389,BUG,infection\ndiagnosis,ICD-10,A419,BUG,infection\n"


def mapped(*maps: str | Path, withheld: Withheld | None = None) -> Mapped:
    made = make_encoder(parse_encoder("codes:dim=8", withheld, maps=open_maps(maps))).fit(Small(codes=UNITS))
    found = made if withheld is None else getattr(made, "encoder", None)
    assert isinstance(found, Mapped)
    return found


def columns(encoder: Mapped) -> list[str]:
    assert isinstance(encoder.encoder, Codes)
    return encoder.encoder._parts.codes.columns


def test_codes_have_the_columns_of_their_concepts_and_those_without_keep_their_own() -> None:
    assert columns(mapped("ingredients")) == [
        "diagnosis:heart_failure",
        "diagnosis:sepsis",
        "drug:furosemide",
        "drug:piperacillin",
        "drug:tazobactam",
    ]
    found = columns(mapped("ccs", "ingredients"))
    assert [name for name in found if name.startswith("diagnosis")] == [
        "diagnosis:CCS 108 Congestive heart failure; nonhypertensive",
        "diagnosis:CCS 2 Septicemia (except in labor)",
    ]


def test_brand_and_ingredient_are_one_to_an_encoder_by_concepts_and_two_without() -> None:
    batch = Small(codes=[[LASIX], [FUROSEMIDE]]).batch
    one, other = mapped("ccs", "ingredients").encode(batch)
    np.testing.assert_allclose(one, other)
    assert one.any()
    plain = make_encoder("codes:dim=8").fit(Small(codes=UNITS))
    first, second = plain.encode(batch)
    assert abs(float(first @ second)) < 0.999


def test_a_row_of_several_concepts_stays_one_of_its_code() -> None:
    batch = open_maps(["ingredients", "ccsr"]).apply(Small(codes=[[ZOSYN, diagnosis("A0103", 1)]]).batch)
    assert batch.codes["code"].tolist() == ["Zosyn", "Zosyn", "A0103", "A0103"]
    assert set(tokens_of(batch.codes)) == {
        "drug:piperacillin",
        "drug:tazobactam",
        "diagnosis:CCSR INF003 Bacterial infections",
        "diagnosis:CCSR RSP002 Pneumonia (except that caused by tuberculosis)",
    }
    assert set(tokens_of(batch.codes, "each")) == set(tokens_of(batch.codes))


def test_the_fingerprint_is_of_the_maps_rows(tmp_path: Path) -> None:
    first, second = tmp_path / "ours.csv", tmp_path / "else" / "ours.csv"
    second.parent.mkdir()
    first.write_text(OWN)
    second.write_text(OWN + "drug,name,never given,x,y\n")
    prints = [mapped(one).fingerprint for one in (first, second, "ccs", "ingredients")]
    assert len(set(prints)) == 4
    assert mapped(first).fingerprint == prints[0]


def test_it_is_kept_with_its_maps_and_refused_where_they_were_changed(tmp_path: Path) -> None:
    own = tmp_path / "ours.csv"
    own.write_text(OWN)
    made, folder = mapped("ingredients", own), tmp_path / "kept"
    made.save(folder)
    own.unlink()
    again = load_encoder(folder)
    assert isinstance(again, Mapped)
    assert again.fingerprint == made.fingerprint
    batch = Small(codes=UNITS).batch
    np.testing.assert_array_equal(again.encode(batch), made.encode(batch))
    assert again.describe()["concept maps"][0].startswith("ingredients (RxNorm")
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())
    rows = gzip.decompress((folder / "concepts-2.csv.gz").read_bytes())
    (folder / "concepts-2.csv.gz").write_bytes(gzip.compress(rows.replace(b"BUG", b"BIG")))
    with pytest.raises(EncoderError, match="the rows of ours were changed"):
        load_encoder(folder)
    (folder / "concepts-2.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(EncoderError, match="the rows of ours can't be read"):
        load_encoder(folder)


def test_a_built_in_map_of_another_version_is_refused(tmp_path: Path) -> None:
    made = mapped("ccs")
    made.save(tmp_path)
    text = (tmp_path / FILE).read_text()
    digest = made.maps.maps[0].digest
    (tmp_path / FILE).write_text(text.replace(digest, digest[::-1]))
    with pytest.raises(EncoderError, match=r"concept map ccs .* has another"):
        load_encoder(tmp_path)


def test_what_is_withheld_never_reaches_the_maps() -> None:
    found = columns(mapped("ccs", withheld=Withheld(("sepsis",))))
    assert not any("Septicemia" in name for name in found)
    assert any("Congestive" in name for name in found)


def test_a_spec_tells_its_maps_for_a_run_that_goes_on() -> None:
    assert str(parse_encoder("codes", maps=open_maps(["ccs", "ingredients"]))) == "codes by ccs+ingredients"


def test_fit_and_ingest_take_maps_and_a_trained_encoder_none(tmp_path: Path) -> None:
    hospital, kept = mimic3(tmp_path / "hospital"), tmp_path / "kept"
    ok(f"fit --source mimic3 --path {hospital} --encoder codes --map ingredients --out {kept}")
    assert isinstance(load_encoder(kept), Mapped)
    store = f"--store qdrant:{tmp_path / 'store'} --run-dir {tmp_path / 'run'}"
    ok(f"ingest --source mimic3 --path {hospital} --encoder {kept} {store}")
    manifest = (tmp_path / "run" / "manifest.json").read_text()
    assert '"drug name ingredients"' in manifest
    told = refused(f"ingest --source mimic3 --path {hospital} --encoder {kept} --map ccs {store}")
    assert "it keeps the concept maps it has" in told
