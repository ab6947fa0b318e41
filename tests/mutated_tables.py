"""Files of tables, sound ones and such as are damaged in every way that is known, from a seed."""

import csv
import gzip
import io
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cohorts.records.tables.columns import Kind, Table
from cohorts.records.tables.reading import DELIMITERS

Mutation = Callable[[random.Random, bytes], bytes]

_NOTES = Table("notes", {"id": Kind.ID, "time": Kind.TIME_OR_NONE, "text": Kind.TEXT, "flag": Kind.FLAG})
_LABS = {
    "subject_id": Kind.KEY,
    "hadm_id": Kind.REFERENCE,
    "itemid": Kind.KEY,
    "charttime": Kind.TIME,
    "valuenum": Kind.NUMBER,
    "valueuom": Kind.TEXT,
}
_ADMISSIONS = {
    "subject_id": Kind.KEY,
    "hadm_id": Kind.KEY,
    "admittime": Kind.TIME,
    "diagnosis": Kind.TEXT,
    "hospital_expire_flag": Kind.FLAG,
}
_DRUGS = {
    "subject_id": Kind.KEY,
    "hadm_id": Kind.REFERENCE,
    "startdate": Kind.TIME_OR_NONE,
    "drug": Kind.CODE,
}
_CODES = {"subject_id": Kind.KEY, "icd_code": Kind.CODE_OR_NONE, "icd_version": Kind.ICD_VERSION}
_REPORTS = {"sample_id": Kind.ID, "medical_specialties": Kind.CODE, "text": Kind.TEXT}
REAL = {
    "mimic3-demo/LABEVENTS.csv.gz": Table("LABEVENTS", _LABS),
    "mimic3-demo/ADMISSIONS.csv": Table("ADMISSIONS", _ADMISSIONS),
    "mimic3-demo/PRESCRIPTIONS.csv.gz": Table("PRESCRIPTIONS", _DRUGS),
    "mimic4-demo/hosp/diagnoses_icd.csv.gz": Table("diagnoses_icd", _CODES),
    "mtsamples/mtsamples.csv.gz": Table("mtsamples", _REPORTS),
}
NASTY = [
    'id,time,text,flag\n1,2101-01-01,"a ""quoted"" word",1\n2,NA,"two\nlines, of it",0\n',
    'id,time,text,flag\r\n1,,"two\r\nlines",yes\r\n2.0,2101-02-03T04:05:06Z,,no\r\n1.05E+11,,x,2\r\n',
    'id,time,text,flag\n1,,"ends with, ""x"",",1\n2,,"ends with ,",\n3,,"""all""",0\n',
    'id,time,text,flag\n1,,"cut,"\n2,,"x","\n3,,y,1\n4,,",",\n"5","","",""\n',
    'id,time,text,flag\n1,,"never closed,0\n2,2101-01-01,b,0\n3,,c,1\n4,,d,0\n5,,"e\nf",1\n6,,g,\n',
    'id,time,text,flag\n7,,"7,,""x""\n8,,"\n9,,a,"\n10,,b,1\n',
    "id,time,text,flag\nÄ1,03/04/2101,ö\u2028ü\x85ß,t\n\u00a0,,b,f\n中,,\ufefftext,\n\ufeff9,,c,\n",
    "id,time,text,flag\n1,3/5/94,a,\n2,3/6/94,b,\n3,,c,\n4,2101-01-01,  NULL ,\n5,,   ,\n",
    'id,time,text,flag\n1,2101-01-01 10:00 PM,ab"c,1\n2,,"a" ,1\n3,, "a",1\n4,,a""b,1\n5,,"a"b,1\n',
    'id,time,text,flag\n\n1,,a,1\n \n\t\n2,,b,1\n,,,\n"",,x,\n"\n",,y,1\n3,,z,0\n\n',
    "id,time,text,flag\n"
    + "".join(f'{n},2101-01-0{n % 9},"note {n}\n\nand, more",{n % 2}\n' for n in range(40)),
    "id,time,text,flag\n" + "".join(f"{n},2101-01-02 0{n % 9}:00:00,note {n},0\n" for n in range(60)),
    "id,text,time,flag\n1,a\n2,b,,\n3,,,,\n4\n5,a,,1\n",
]
SINGLE = 'text\na\n""\n"b\n"\n\n c\n,\n"a"\n'
_PIECES = (
    *(
        b'"',
        b'""',
        b'","',
        b'"\n"',
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\n \n",
        b",",
        b";",
        b",,",
        b"\t",
    ),
    *(
        b"\0",
        b"\xff",
        b"\xe9",
        b"\xef\xbb\xbf",
        "\u2028".encode(),
        "\x85".encode(),
        "\u00a0".encode(),
        b"\x1c",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xe2\x82",
        "é".encode(),
        b"\\",
        b"\\N",
        b"NULL",
        b" ",
        b"-",
        b".",
        b"e5",
        b".0",
        b"'",
        b"\x0b",
    ),
    *(
        b'\n9,"',
        b',"\n',
        b'"\r',
        b"\n\r",
        b"\n,",
        b'\n"',
        b"\n\xc2\x85",
        b'a"',
        b'"a',
        b'"" ',
        b"x" * 400,
        b"\n" * 30,
    ),
)


@dataclass(frozen=True)
class Case:
    """A file, the table that it is to be read as, and what was done to it."""

    name: str
    content: bytes
    table: Table


def insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_PIECES) + data[at:]


def insert_at_an_edge(rng: random.Random, data: bytes) -> bytes:
    edges = [place.start() + rng.randrange(2) for place in re.finditer(rb'[,;\t|"\n]', data)]
    at = rng.choice(edges or [0])
    return data[:at] + rng.choice(_PIECES) + data[at:]


def remove(rng: random.Random, data: bytes) -> bytes:
    places = [place.start() for place in re.finditer(rng.choice([rb'"', rb"\n", rb"[,;\t|]", rb"."]), data)]
    at = rng.choice(places or [0])
    return data[:at] + data[at + 1 :]


def cut_span(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(200) :]


def double_span(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[: at + rng.randrange(200)] + data[at:]


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) // 2, len(data) + 1)]


def change_byte(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def change_dates(rng: random.Random, data: bytes) -> bytes:
    new = rng.choice(
        [rb"\3/\2/\1", rb"\2/\3/94", rb"\1\2\3", rb"\1-\2", rb"\1/\2/\3", rb"\1-\3-\2", rb"\3.\2.\1"]
    )
    return re.sub(rb"(\d{4})-(\d\d)-(\d\d)", new, data, count=rng.choice([0, 0, 1, 5]))


def lengthen(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return (
        data[:at] + rng.choice([b"long ", b"l\n", b'"",', b"\xc3\xa9"]) * rng.randrange(100, 1500) + data[at:]
    )


MUTATIONS: Sequence[Mutation] = (
    *(insert, insert, insert_at_an_edge, insert_at_an_edge, remove, remove),
    *(cut_span, double_span, truncate, change_byte, change_dates, lengthen),
)


def quote_all(data: bytes) -> bytes:
    out = io.StringIO(newline="")
    csv.field_size_limit(1_000_000)  # a reader before may have set less
    rows = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""))
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def mutated(seed: int, real: Sequence[tuple[Table, bytes]]) -> Case:
    """Return the file of a seed: some of a real one's or an invented one's lines, changed in none to five places."""
    rng = random.Random(seed)
    if rng.random() < 0.5 and real:
        table, data = rng.choice(real)
        head, *lines = data.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        data = head + b"".join(lines[at : at + rng.randrange(60)])[:4_000]
    else:
        table, data = _NOTES, rng.choice(NASTY).encode()
        if rng.random() < 0.1:
            table, data = Table("texts", {"text": Kind.TEXT}), SINGLE.encode()
    if rng.random() < 0.2:
        data = quote_all(data)
    if rng.random() < 0.2:
        data = data.replace(b"\n", b"\r\n")
    if rng.random() < 0.2:
        data = data.replace(b",", rng.choice(DELIMITERS).encode())
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 5])):
        data = rng.choice(MUTATIONS)(rng, data) or b"\n"
    whole: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("n.csv", bytes),
        *[("n.csv", bytes)] * 6,
        ("n.csv.gz", gzip.compress),
        ("n.csv", lambda data: b"\xef\xbb\xbf" + data),
        ("n.csv", lambda data: data.decode("utf-8", "replace").encode("utf-16")),
        ("n.csv", lambda data: data.decode("utf-8", "replace").encode("cp1252", "replace")),
    ]
    name, made = rng.choice(whole)
    return Case(name, made(data), table)


def read_real(shared: Path) -> list[tuple[Table, bytes]]:
    """Return the real tables that there are, the first some hundred thousand bytes of each."""
    found = []
    for name, table in REAL.items():
        path = shared / name
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            found.append((table, stream.read(300_000)))
    return found
