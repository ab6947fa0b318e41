"""D_ICD_DIAGNOSES, D_ICD_PROCEDURES, D_LABITEMS and D_ITEMS: what the codes and items of the hospital are called."""

from collections.abc import Mapping

from cohorts.records.synthetic.network import parameters
from cohorts.records.synthetic.tables import Tables

SHORT = 24  # characters of a short title
_LINKED = {  # where each kind of item stands
    ("courses", "vitals"): ("chartevents", "Routine Vital Signs"),
    ("courses", "sizes"): ("chartevents", "General"),
    ("courses", "outputs"): ("outputevents", "Output"),
    ("care", "inputs"): ("inputevents_mv", "Medications"),
    ("care", "bedside"): ("procedureevents_mv", "Procedures"),
}


def write_dictionaries(tables: Tables, planted: Mapping[str, str]) -> None:
    """Write the four; `planted` are titles of diagnoses that the hospital has not of its own."""
    titles = parameters("titles")
    for table, known in (
        ("D_ICD_DIAGNOSES", titles["diagnoses"] | planted),
        ("D_ICD_PROCEDURES", titles["procedures"]),
    ):
        codes = sorted(known)
        tables.add(
            table,
            len(codes),
            ICD9_CODE=codes,
            SHORT_TITLE=[known[code][:SHORT].strip() for code in codes],
            LONG_TITLE=[known[code] for code in codes],
        )
    labs = parameters("courses")["labs"]
    tables.add(
        "D_LABITEMS",
        len(labs),
        ITEMID=[one["item"] for one in labs.values()],
        LABEL=list(labs),
        FLUID=[one.get("fluid", "Blood") for one in labs.values()],
        CATEGORY=[
            "Blood Gas" if one["panel"] in ("gas", "lactate") else "Chemistry" for one in labs.values()
        ],
    )
    items = {
        one["item"]: (one.get("label", name), place)
        for (file, part), place in _LINKED.items()
        for name, one in parameters(file)[part].items()
    }
    tables.add(
        "D_ITEMS",
        len(items),
        ITEMID=list(items),
        LABEL=[name for name, _ in items.values()],
        DBSOURCE="metavision",
        LINKSTO=[place[0] for _, place in items.values()],
        CATEGORY=[place[1] for _, place in items.values()],
    )
