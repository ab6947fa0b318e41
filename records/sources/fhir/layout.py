"""FHIR R4 as a source: its files are flattened into tables, which fhir.toml declares."""

from cohorts.records.sources.declared.declaration import builtin
from cohorts.records.sources.declared.folders import Places
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.fhir.elements import Remarks
from cohorts.records.sources.fhir.files import fhir_files
from cohorts.records.sources.fhir.flatten import flatten
from cohorts.records.sources.kinds import SourceKind, SourceRequest

_TOLD_TYPES = 20


def fhir(asked: SourceRequest) -> Hospital:
    """Return the layout of a folder, or a file, of NDJSON or Bundles. Raises SourceError, InputError."""
    files = fhir_files(asked.path)
    folder = asked.copies()
    remarks = flatten(files, folder)
    made = Hospital(
        "fhir",
        builtin("fhir", "fhir"),
        {"": Places(asked.path, [folder], copied=True)},
        asked.unit,
        synthetic=remarks.synthetic,
        origins=files,
        placed=True,
        unfilled=frozenset() if remarks.texts else frozenset({"notes"}),
    )
    made.warnings += _told(remarks)
    return made


def _told(remarks: Remarks) -> list[str]:
    """Return what there is to say, each thing once."""
    told = []
    if remarks.zoned:
        told.append(f"{remarks.zoned:,} times have a zone: each is read as the local clock that was written")
    if remarks.partial:
        told.append(f"{remarks.partial:,} dates have no day: the first of the month, or of the year, is read")
    if remarks.no_fhir:
        told.append(f"{remarks.no_fhir:,} JSON files hold no FHIR, and are left out")
    for why, types in (("not read", remarks.not_read), ("of no patient", remarks.of_no_patient)):
        if types:
            shown = [f"{many:,} {kind}" for kind, many in types.most_common(_TOLD_TYPES)]
            further = [f"{len(types) - _TOLD_TYPES} other types"] if len(types) > _TOLD_TYPES else []
            told.append(f"Resources that are {why}: {', '.join([*shown, *further])}")
    return told


FHIR = SourceKind(open=fhir)
