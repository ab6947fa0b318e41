"""What is wrong with a mapping is told before a table is read, and never with what stands in one."""

from pathlib import Path

import pytest
from cohorts.errors import SourceError
from small_hospitals import OpenOwn, Own

MISTAKES = {
    "is no TOML": ("[frames]", "[frames"),
    "there is no frame note. Frames: patients, admissions": ("notes = ", "note = "),
    "the frame patients is missing": ("patients = ", "titles = "),
    "can't be used": ('died_on = "time?" }', 'died_on = "date" }'),
    "tables.persons holds 'patiant', which is not known; known are columns, file": (
        '[tables.persons]\npatient = "person"',
        '[tables.persons]\npatiant = "person"',
    ),
    "tables.diagnoses.icd.kind is text; it must be one of diagnosis, procedure": (
        'kind = "diagnosis", code',
        'kind = "disease", code',
    ),
    "patient names persons, which is none of its columns": (
        '[tables.persons]\npatient = "person"',
        '[tables.persons]\npatient = "persons"',
    ),
    "must be read as key, integer or id, which no row lacks": (
        'columns = { person = "id", sex',
        'columns = { person = "id?", sex',
    ),
    "part is for MIMIC-IV alone": ("[tables.persons]\n", '[tables.persons]\npart = "notes"\n'),
    "only has test in the list some, which [values] lacks": (
        'via = "visits"',
        'via = "visits"\nonly = { test = "some" }',
    ),
    "via names persons, which must be a table with patient and key": ('via = "visits"', 'via = "persons"'),
    "person is what the patient of visits will be called in it": (
        'columns = { visit = "id?", test',
        'columns = { visit = "id?", person = "id?", test',
    ),
    "can't name a table": ("[tables.persons]", '[tables."../persons"]'),
    "table persons is declared twice": (
        "[tables.tests]",
        '[tables.PERSONS]\ncolumns = { a = "text" }\n[tables.tests]',
    ),
    "can't be the name of a column": ('name = "text", loinc', 'row = "text", name = "text", loinc'),
    "two columns have the same name": ('name = "text", loinc', 'Test = "text", name = "text", loinc'),
    "Table ward is missing": (
        "[tables.tests]",
        '[tables.ward]\npatient = "a"\ncolumns = { a = "id" }\n[tables.tests]',
    ),
    "has no column birth (case does not matter). It has: person, sex, born, died_on": (
        'born = "time?"',
        'birth = "time?"',
    ),
    "of notes can't be run: Catalog Error: Table with name report does not exist! Its tables: persons, visits": (
        "FROM reports",
        "FROM report",
    ),
    'The SELECT of notes can\'t be run: Binder Error: Referenced column "texts" not found': (
        "body AS text",
        "texts AS text",
    ),
    "The SELECT of notes can't be run: Parser Error": ("FROM reports", "FORM reports x"),
    "The SELECT of notes gives the columns patient_id, admission_id, category, time, txt": (
        "body AS text",
        "body AS txt",
    ),
    "it lacks patient_id": (
        "SELECT person AS patient_id, visit AS admission_id, type",
        "SELECT visit AS admission_id, type",
    ),
    "gives value as string, and it is read as double: cast it, as in try_cast(… AS DOUBLE) AS value": (
        "try_cast(l.result AS DOUBLE) AS value",
        "l.result AS value",
    ),
    "gives rank as timestamp[us], and it is read as double": (
        "AS code, rank",
        "AS code, TIMESTAMP '2020-01-01' AS rank",
    ),
    "gives died as int32, and it is read as bool": ("died_here AS died", "1::INTEGER AS died"),
    "gives admitted as int64": ('"begin" AS admitted', 'epoch_us("begin") AS admitted'),
    "The SELECT of notes must be one SELECT": ("FROM reports\n", "FROM reports; SELECT 1\n"),
}


@pytest.mark.parametrize("told", MISTAKES)
def test_a_mistake_is_told_before_a_table_is_read(own: Own, open_own: OpenOwn, told: str) -> None:
    own.replace(*MISTAKES[told])
    with pytest.raises(SourceError) as error:
        open_own(*own)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT content AS patient_id FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{file}')",
        "COPY (SELECT 1) TO '{file}.copy'",
        "ATTACH '{file}.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA threads = 2",
        "SET enable_external_access = true",
        "CREATE TABLE patients AS SELECT 1",
        "SELECT * FROM read_csv('https://example.org/a.csv')",
        "SELECT * FROM empty",  # a variable of ours
        "",
    ],
)
def test_a_select_reaches_nothing_but_its_tables(
    own: Own, open_own: OpenOwn, statement: str, tmp_path: Path
) -> None:
    file = tmp_path / "outside.csv"
    file.write_text("patient_id\nPat Doe\n")
    tables = '[tables.persons]\npatient = "person"\ncolumns = { person = "id" }\n'
    own.mapping.write_text(f'{tables}[frames]\npatients = """{statement.format(file=file)}"""\n')
    with pytest.raises(
        SourceError, match=r"The SELECT of patients (can't be run|must be one SELECT)"
    ) as told:
        open_own(*own)
    assert "Pat Doe" not in str(told.value)
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("outside")) == ["outside.csv"]


def test_a_select_that_names_admissions_without_a_frame_of_them_is_refused(
    own: Own, open_own: OpenOwn
) -> None:
    text = own.mapping.read_text()
    begin = text.index("admissions = ")
    own.mapping.write_text(text[:begin] + text[text.index("codes = ", begin) :])
    with pytest.raises(
        SourceError, match="The SELECT of codes gives admission_id, and there is no frame admissions"
    ):
        open_own(*own)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "try_cast(l.result AS DOUBLE) AS value",
            "CAST(l.result AS DOUBLE) AS value",
            r"fails on a value \(Conversion\)",
        ),
        (
            "try_cast(l.result AS DOUBLE) AS value",
            "error(l.result) AS value",
            r"fails on a value \(InvalidInput\)",
        ),
        (
            "'laboratory' AS kind",
            "l.result AS kind",
            "gives a kind that is none of laboratory, vital, output",
        ),
        ("'diagnosis' AS kind", "icd10 AS kind", "gives a kind that is none of diagnosis, procedure, drug"),
    ],
)
def test_a_value_that_fails_is_not_told(own: Own, open_own: OpenOwn, old: str, new: str, told: str) -> None:
    own.replace(old, new)
    with open_own(*own) as source, pytest.raises(SourceError, match=told) as error:
        list(source.batches())
    assert "haemolytic" not in str(error.value)
    assert "E11" not in str(error.value)


def test_content_is_not_taken_for_words_to_tell(own: Own, open_own: OpenOwn) -> None:
    reports = own.folder / "reports.csv"
    reports.write_text(
        reports.read_text() + "".join(f"P-001,V1,2020-01-05,Letter,secret {n}\n" for n in range(200))
    )
    own.replace("body AS text", "body AS text, body AS left_out")
    with (
        open_own(*own) as source,
        pytest.raises(SourceError, match="more than 100 values of left_out") as told,
    ):
        list(source.batches())
    assert "secret" not in str(told.value)
