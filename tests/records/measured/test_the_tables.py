"""The tables of measures, units and items hold together: each entry is well formed, and none contradicts another."""

import re
from collections import Counter

from cohorts.records.measured.measures import load_measures, measure_of, measures_by_loinc
from cohorts.records.measured.mimic_items import chart_items, items_of, mimic_items
from cohorts.records.measured.packaged import read_rows
from cohorts.records.measured.units import as_written, conversion

TABLES = {"labevents", "chartevents", "outputevents", "inputevents", "procedureevents"}
SOURCE = re.compile(r"(definition|ours|mimic-code|MIMIC-Extract|as for white cells)\b.*")


def check_digit(digits: str) -> int:
    """Luhn's, as LOINC computes it: every second digit from the right is doubled."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return -sum(value // 10 + value % 10 for value in doubled) % 10


def test_the_check_digit_is_that_of_loinc() -> None:
    assert [check_digit(digits) for digits in ("2951", "718", "59408", "76536")] == [2, 7, 5, 2]


def test_every_loinc_code_has_its_check_digit_and_one_measure() -> None:
    codes = [code for measure in load_measures().values() for code in measure.loinc]
    assert [code for code in codes if code != f"{code[:-2]}-{check_digit(code[:-2])}"] == []
    assert [code for code, many in Counter(codes).items() if many > 1] == []


def test_bounds_are_ordered_and_have_a_source() -> None:
    assert [one.name for one in load_measures().values() if not one.lowest < one.highest] == []
    sources = {
        source for one in load_measures().values() for source in (one.lowest_source, one.highest_source)
    }
    assert [source for source in sources if not SOURCE.fullmatch(source)] == []


def test_names_of_measures_and_units_are_unique() -> None:
    assert len(read_rows("measures.csv")) == len(load_measures())
    names = [row["unit"] for row in read_rows("units.csv")]
    assert len(names) == len(set(names))


def test_a_measure_can_be_met_and_is_kept_as_it_is_in_its_own_unit() -> None:
    names = {item.name for item in mimic_items().values()}
    for one in load_measures().values():
        assert one.loinc or one.name in names
        way = conversion(one.name, one.unit)
        assert way is not None
        assert not way.changes


def test_a_spelling_is_written_as_it_is_looked_up_and_means_one_unit() -> None:
    rows = read_rows("units.csv")
    for row in rows:
        for spelling in row["written"].split():
            assert as_written(spelling) == spelling
    for measure in load_measures():
        met = Counter(
            spelling
            for row in rows
            if row["only"] in ("", measure)
            for spelling in row["written"].split()
            if conversion(measure, "no unit", row["unit"]) is not None
        )
        assert [spelling for spelling, many in met.items() if many > 1] == [], measure


def test_what_stands_for_one_measure_alone_names_one() -> None:
    assert {row["only"] for row in read_rows("units.csv")} - {""} <= set(load_measures())


def test_no_item_has_two_meanings() -> None:
    items = [item for row in read_rows("mimic_items.csv") for item in row["items"].split()]
    assert [item for item, many in Counter(items).items() if many > 1] == []
    assert all(item.isdigit() for item in items)


def test_items_name_a_table_and_a_unit_that_their_measure_can_be_written_in() -> None:
    for id_, item in mimic_items().items():
        assert item.table in TABLES
        if item.name not in load_measures():
            assert item.group, id_
            assert not item.unit, id_
        elif item.unit:
            assert conversion(item.name, "no unit", item.unit) is not None, id_
        else:
            assert item.table == "labevents", id_  # all others have their unit by definition


def test_chart_items_are_those_of_the_vital_signs_and_no_laboratory() -> None:
    # heart rate, coma scale, FiO2, PEEP, weight, height; creatinine of CareVue and MetaVision, of LABEVENTS
    assert {"211", "220045", "184", "723", "223901", "190", "223835", "505", "226512", "920"} <= chart_items()
    assert not {"791", "220615", "50912", "40055", "221906"} & chart_items()


def test_groups_name_what_is_given_and_done() -> None:
    pressors = items_of("vasopressors")
    assert pressors["221906"].name == pressors["30047"].name == "norepinephrine"
    assert items_of("ventilation")["225792"].name == "invasive ventilation"
    assert items_of("dialysis")["225441"].name == "haemodialysis"
    assert items_of("urine")["226559"].name == "urine output"
    assert items_of("nothing") == {}


def test_a_measure_is_asked_by_item_first_and_by_loinc_without() -> None:
    # D_LABITEMS of MIMIC-III gives transferrin the LOINC code of iron binding capacity.
    by_item, by_loinc = (measure_of("50998", "2500-7", mimic=mimic) for mimic in (True, False))
    assert by_item is not None
    assert by_item.name == "transferrin"
    assert by_loinc is not None
    assert by_loinc.name == "iron binding capacity"
    assert measure_of("50855", "718-7", mimic=True) == measures_by_loinc()["718-7"]
    assert measure_of("221906", None, mimic=True) is None
    assert measure_of("211", None, mimic=False) is None
