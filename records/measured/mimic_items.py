"""What the item ids of MIMIC mean: measures, and what is given, drained and done in intensive care.

`mimic_items.csv` has one row for some ids of one table that mean the same in the same unit. Ids below 220000 in the
events of intensive care are CareVue's (MIMIC-III before 2008), those above MetaVision's, which MIMIC-III and MIMIC-IV
share; laboratory ids (50800 to 53200) are the same in both. The tables of MIMIC-III are INPUTEVENTS_CV, INPUTEVENTS_MV
and PROCEDUREEVENTS_MV.

Source: the concepts of MIT-LCP/mimic-code (as of August 2026: mimic-iii/concepts firstday, pivot, durations,
fluid_balance, rrt; mimic-iv/concepts measurement, treatment, medication), which name these ids, and MIMIC's D_ITEMS
and D_LABITEMS, which name their units. Cuffs by limb, temperatures beside the four usual ones and the peak pressure 507
are MIMIC-Extract's; ultrafiltrate (40286), ventilator types and modes 722 and 229314 and intubation (224385) are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from cohorts.records.measured.packaged import read_rows


@dataclass(frozen=True)
class Item:
    """What an item id means: `table` without the suffix _CV or _MV, `name` of a measure or of what is done.

    `group` is one of vital signs, coma scale, body size, oxygen, ventilation, dialysis, dialysis access, vasopressors,
    fluids, urine; "" for laboratory values. `unit` is what the item is written in by definition where a row has no
    unit, or none of its measure; "" where only the row can tell, or where nothing is measured.
    """

    table: str
    name: str
    group: str
    unit: str


@cache
def mimic_items() -> Mapping[str, Item]:
    """Return all items by their id."""
    return {
        item: Item(row["table"], row["name"], row["group"], row["unit"])
        for row in read_rows("mimic_items.csv")
        for item in row["items"].split()
    }


@cache
def chart_items() -> frozenset[str]:
    """Return the ids of CHARTEVENTS that are worth reading; its other rows can be left out while reading.

    Vital signs, coma scale, body size, oxygen, ventilation and dialysis. Laboratory values that CHARTEVENTS repeats are
    left to LABEVENTS; glucose at the bedside stands in CHARTEVENTS alone and is here. Some are text without a number:
    the ventilator's mode and type, the oxygen device, the notes of extubation, the mode of dialysis.
    """
    return frozenset(id_ for id_, item in mimic_items().items() if item.table == "chartevents")


@cache
def items_of(group: str) -> Mapping[str, Item]:
    """Return the items of a group by their id, empty where no item has that group."""
    return {id_: item for id_, item in mimic_items().items() if item.group == group}
