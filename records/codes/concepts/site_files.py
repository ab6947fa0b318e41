"""A site's own concept maps, each file known by its shape, whatever it is called.

- UMLS: `MRCONSO.RRF`, 18 fields between bars; codes of one CUI mean the same (UMLS Reference Manual, chapter 3).
- SNOMED CT: a map reference set of release format 2 (`der2_…SimpleMap…`, `…ExtendedMap…`). What SNOMED's codes are
  mapped to is the concept, and codes of that classification stand for themselves.
- OMOP: a folder with `CONCEPT.csv` and `CONCEPT_RELATIONSHIP.csv` of Athena; codes go by what they `Maps to`.
- A table of one's own: `kind,system,code,concept,title[,vocabulary]`.

Files are read line by line. Codes of other vocabularies than sources have here are passed over.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cohorts.errors import InputError
from cohorts.plain_text import printable
from cohorts.records.codes.concepts.base import KINDS, LABORATORY, LOINC, NAME, NDC
from cohorts.records.codes.concepts.table import Row, TableMap
from cohorts.records.tables.reading import read_rows
from cohorts.records.tables.text_files import open_text

_OWN = ("kind", "system", "code", "concept", "title")
_MRCONSO = re.compile(r"C\d{7}\|[A-Z]{3}\|(?:[^|]*\|){16}")
_MAP_TARGET, _MAPPED = "mapTarget", "referencedComponentId"
_CLASSIFICATIONS = {
    "447562003": "ICD-10",
    "6011000124106": "ICD-10",
    "447563008": "ICD-9",
}  # by reference set
_CONCEPTS, _RELATIONS = "CONCEPT.csv", "CONCEPT_RELATIONSHIP.csv"
_ICD9_PROCEDURE = re.compile(r"\d{2}(?:\.\d{1,2})?")
_KNOWN = (
    "It must be UMLS' MRCONSO.RRF, a map of SNOMED CT in release format 2 (simple or extended map), a folder with "
    f"OMOP's {_CONCEPTS} and {_RELATIONS}, or a table with the columns {','.join(_OWN)}."
)
_ALIKE = {
    "ICD10CM": ("diagnosis", "ICD-10"),
    "ICD10": ("diagnosis", "ICD-10"),
    "ICD10PCS": ("procedure", "ICD-10"),
    "HCPCS": ("procedure", "HCPCS"),
}
_UMLS = _ALIKE | {
    "CPT": ("procedure", "CPT"),
    "SNOMEDCT_US": ("diagnosis", "SNOMED"),
    "RXNORM": ("drug", "RxNorm"),
    "LNC": (LABORATORY, LOINC),
}
_OMOP = _ALIKE | {
    "ICD9CM": ("diagnosis", "ICD-9"),
    "ICD9Proc": ("procedure", "ICD-9"),
    "CPT4": ("procedure", "CPT"),
    "SNOMED": ("diagnosis", "SNOMED"),
    "NDC": ("drug", NDC),
    "RxNorm": ("drug", "RxNorm"),
    "LOINC": (LABORATORY, LOINC),
}


def read_map(path: Path) -> TableMap:
    """Return the map in a file or folder. Raises InputError for no known shape, SourceError for a damaged file."""
    if path.is_dir():
        return _read_omop(path)
    try:
        with open_text(path) as stream:
            first = stream.readline(65_536).rstrip("\r\n")
    except (OSError, EOFError, UnicodeError) as error:
        raise InputError(f"The concept map {path} can't be read: {type(error).__name__}.") from error
    header = {name.strip().strip('"').lower() for name in re.split(r"[,;\t|]", first)}
    read: Callable[[Path], TableMap] | None = None
    if _MRCONSO.fullmatch(first):
        read = _read_umls
    elif {_MAP_TARGET.lower(), _MAPPED.lower()} <= header:
        read = _read_snomed
    elif set(_OWN) <= header:
        read = _read_own
    if read is None:
        raise InputError(f"{path} is no concept map that is known. {_KNOWN}")
    return read(path)


def _read_own(path: Path) -> TableMap:
    rows = []
    for chunk in read_rows(path, _OWN, ("vocabulary",)):
        if chunk.broken:
            raise InputError(f"{path}: line {chunk.broken[0][1]:,} can't be used: {chunk.broken[0][2]}.")
        for line, values in zip(chunk.lines, chunk.values, strict=True):
            kind, system, code, concept, title, vocabulary = (value.strip() for value in values)
            if kind not in KINDS:
                raise InputError(f"{path}: the kind in line {line:,} is none. Kinds: {', '.join(KINDS)}.")
            rows.append(Row(kind, system, code, vocabulary or path.stem, concept, title))
    return TableMap.of_rows(printable(path.stem), rows)


def _read_umls(path: Path) -> TableMap:
    """Read English rows that are not suppressed; drugs go by their name too. A CUI's preferred name is its title."""
    codes: list[tuple[str, str, str, str]] = []
    titles: dict[str, str] = {}
    with open_text(path) as stream:
        for line in stream:
            fields = line.rstrip("\r\n").split("|")
            if len(fields) < 18 or fields[1] != "ENG" or fields[16] != "N":
                continue
            cui, source, code, name = fields[0], fields[11], fields[13], fields[14]
            if fields[2] == "P" and fields[4] == "PF" and (fields[6] == "Y" or cui not in titles):
                titles[cui] = name
            for kind, system, kept in _as_here(source, code, name):
                codes.append((kind, system, kept, cui))
    rows = (Row(kind, system, code, "UMLS", cui, titles.get(cui, "")) for kind, system, code, cui in codes)
    return TableMap.of_rows(printable(path.stem), rows, licence="UMLS Metathesaurus licence, the site's own")


def _as_here(source: str, code: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield kind, system and code, as sources here have them, of one row of UMLS."""
    if source == "ICD9CM" and "-" not in code:
        yield "procedure" if _ICD9_PROCEDURE.fullmatch(code) else "diagnosis", "ICD-9", code
    elif source in _UMLS and ("-" not in code or source == "LNC"):
        yield *_UMLS[source], code
        if source == "RXNORM":
            yield "drug", NAME, name


def _read_snomed(path: Path) -> TableMap:
    rows, newest = [], ""
    with open_text(path) as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
        for line in stream:
            row = dict(zip(header, line.rstrip("\r\n").split("\t"), strict=False))
            target = row.get(_MAP_TARGET, "").strip()
            if row.get("active") != "1" or not target or "?" in target:
                continue
            newest = max(newest, row.get("effectiveTime", ""))
            vocabulary = _CLASSIFICATIONS.get(
                row.get("refsetId", ""), f"reference set {row.get('refsetId', '')}"
            )
            code = target.replace(".", "")
            rows.append(Row("diagnosis", "SNOMED", row.get(_MAPPED, ""), vocabulary, code, ""))
            if vocabulary in _CLASSIFICATIONS.values():
                rows.append(Row("diagnosis", vocabulary, code, vocabulary, code, ""))
    return TableMap.of_rows(
        printable(path.stem), rows, version=newest, licence="SNOMED CT licence, the site's own"
    )


def _read_omop(folder: Path) -> TableMap:
    files = {file.name.upper(): file for file in folder.iterdir()}
    lacking = [name for name in (_CONCEPTS, _RELATIONS) if name.upper() not in files]
    if lacking:
        raise InputError(
            f"{folder} is no concept map that is known: it lacks {' and '.join(lacking)}. {_KNOWN}"
        )
    concepts, relations = files[_CONCEPTS.upper()], files[_RELATIONS.upper()]
    known, names = {}, {}
    for row in _omop_rows(concepts, ("concept_id", "vocabulary_id", "concept_code", "concept_name")):
        if row[1] in _OMOP:
            known[row[0]] = (*_OMOP[row[1]], row[2])
            names[row[0]] = row[3] if row[1] == "RxNorm" else ""
    pairs = [
        (one, other)
        for one, other, relation, invalid in _omop_rows(
            relations, ("concept_id_1", "concept_id_2", "relationship_id", "invalid_reason")
        )
        if relation == "Maps to" and not invalid and one in known
    ]
    wanted = {other for _, other in pairs}
    told = {
        row[0]: (row[1], row[2], row[3])
        for row in _omop_rows(concepts, ("concept_id", "vocabulary_id", "concept_code", "concept_name"))
        if row[0] in wanted
    }
    rows = []
    for one, other in pairs:
        for kind, system, code in [known[one], *([("drug", NAME, names[one])] if names[one] else [])]:
            if other in told:
                rows.append(Row(kind, system, code, *told[other]))
    return TableMap.of_rows(printable(folder.name), rows, version=_omop_version(files))


def _omop_version(files: Mapping[str, Path]) -> str:
    """Return the version of all vocabularies together, which stands beside the one called None; "" where unknown."""
    if "VOCABULARY.CSV" not in files:
        return ""
    rows = _omop_rows(files["VOCABULARY.CSV"], ("vocabulary_id", "vocabulary_version"))
    return next((version for name, version in rows if name == "None"), "")


def _omop_rows(file: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield some columns of one of Athena's tables: tabs between them, and no quotes. Raises InputError."""
    with open_text(file) as stream:
        header = stream.readline().rstrip("\r\n").lower().split("\t")
        if lacking := [name for name in columns if name not in header]:
            raise InputError(
                f"{file} has no column {lacking[0]}; OMOP's tables are separated by tabs, as Athena gives them."
            )
        places = [header.index(name) for name in columns]
        for line in stream:
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) == len(header):
                yield [cells[place] for place in places]
