"""What is told of how much the maps know: on open data, and without small cells."""

import json
from pathlib import Path

from cohorts import concept_coverage, open_source
from cohorts.records.codes.concepts.built_in import BUILT_IN, open_maps
from cohorts.records.codes.concepts.coverage import coverage
from command_line import ok, refused
from small_hospitals import mimic3
from small_sources import Small

FEW, MANY = 10, 11


def test_of_the_demos_nine_rows_in_ten_have_a_concept(shared_data: Path) -> None:
    for name in ("mimic3", "mimic4"):
        with open_source(name, shared_data / f"{name}-demo") as source:
            found = concept_coverage(source)
        for share in found.shares:
            assert share.mapped_rows >= 0.9 * share.rows, share
        assert {share.kind for share in found.shares} >= {"diagnosis", "procedure", "drug"}
        assert all(one.patients >= MANY for one in found.unmapped)
        assert "Bag" in {one.code for one in found.unmapped} or name == "mimic3"


def test_a_code_of_few_patients_is_counted_and_not_named() -> None:
    rare, common = ("drug", "name", "Secretol"), ("drug", "name", "Vial")
    codes = [[common, rare] if unit < FEW else [common, common] for unit in range(MANY)]
    found = coverage(Small(codes=codes), open_maps(["ingredients"]))
    (share,) = found.shares
    assert (share.rows, share.distinct, share.mapped_rows) == (2 * MANY, 2, 0)
    assert [(one.code, one.rows, one.patients) for one in found.unmapped] == [("Vial", MANY + 1, MANY)]
    assert found.not_shown == 1
    assert "Secretol" not in json.dumps(found.as_dict())


def test_a_vocabulary_of_no_map_is_told_and_rows_with_several_concepts_count_once() -> None:
    codes = [[("procedure", "CPT", "99254"), ("diagnosis", "ICD-10", "A0103")]]
    found = coverage(Small(codes=codes), open_maps(list(BUILT_IN)))
    told = {(one.system, one.map): (one.rows, one.mapped_rows, one.several) for one in found.shares}
    assert told == {("CPT", ""): (1, 0, 0), ("ICD-10", "ccs"): (1, 1, 0), ("ICD-10", "ccsr"): (1, 1, 1)}


def test_the_command_tells_it_in_three_ways_with_a_map_of_ones_own(tmp_path: Path) -> None:
    hospital = mimic3(tmp_path / "hospital")
    own = tmp_path / "ours.csv"
    own.write_text("kind,system,code,concept,title\ndiagnosis,ICD-9,4019,BP,high blood pressure\n")
    command = f"codes --source mimic3 --path {hospital} --map {own} --run-dir {tmp_path / 'run'}"
    told = json.loads(ok(f"{command} --format json"))
    shares = {(one["kind"], one["map"]): (one["mapped_rows"], one["rows"]) for one in told["shares"]}
    assert shares["diagnosis", "ours"] == (1, 2)
    assert shares["diagnosis", "ccs"] == (2, 2)
    assert {one["name"] for one in told["maps"]} == {*BUILT_IN, "ours"}
    assert told["unmapped"] == []
    table = ok(command)
    assert "public domain" in table
    assert "ours" in table
    lines = ok(f"{command} --format csv").splitlines()
    assert lines[0].startswith("table,kind,system,rows,distinct,map,version")
    assert any(line.startswith("share,drug,name,1,1,ingredients,") for line in lines)
    assert "neither built in nor a file" in refused(f"{command} --map nowhere")


def test_items_of_other_fluids_say_so_in_their_name(tmp_path: Path) -> None:
    items = "ITEMID,LABEL,FLUID,LOINC_CODE\n50912,Creatinine,Blood,2160-0\n51082,Creatinine,Urine,2161-8\n"
    items += '51790,"Glucose, CSF",Cerebrospinal Fluid (CSF),\n51084,"Glucose, Urine",URINE,\n51034,Albumin,,'
    events = "SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUE,VALUENUM,VALUEUOM\n"
    events += "".join(
        f"1,10,{item},2164-10-24 08:0{place}:00,1,1,mg/dL\n"
        for place, item in enumerate((50912, 51082, 51790, 51084, 51034))
    )
    with open_source("mimic3", mimic3(tmp_path, D_LABITEMS=items, LABEVENTS=events)) as source:
        (batch,) = source.batches()
        assert batch.measurements["item"].tolist() == [
            "Creatinine",
            "Creatinine (urine)",
            "Glucose, CSF",
            "Glucose, Urine",
            "Albumin",
        ]
        mapped = open_maps(["laboratory"]).apply(batch).measurements["item"].tolist()
    assert mapped == [
        "creatinine",
        "urine creatinine",
        "cerebrospinal fluid glucose",
        "urine glucose",
        "albumin",
    ]
