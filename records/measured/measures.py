"""What is measured: the one unit that a measure is kept in, its LOINC codes, and the values that are possible.

`measures.csv` has one row a measure. Its bounds are those of the possible, not of the normal: a value beyond them is
an error of the pen, the line or the unit. Blood and urine are measures apart.

Sources of the bounds, named bound by bound in the table:
- `definition`: of a percentage, a score, or a quantity that can't be negative;
- `mimic-code`: the limits in the concepts of MIT-LCP/mimic-code (first-day laboratory values, vital signs, blood gases,
  ventilator settings; Johnson et al., JAMIA 2018, doi:10.1093/jamia/ocx084);
- `MIMIC-Extract`: the outlier limits in its variable_ranges.csv (Wang et al., CHIL 2020, doi:10.1145/3368555.3384469);
- `widened`: such a limit that patients who live have passed, or are near to;
- `ours`: no published limit is known to us; set far beyond what is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.packaged import read_rows


@dataclass(frozen=True)
class Measure:
    """A measure: `lowest` and `highest` are the ends of what is possible, in `unit`, both possible themselves.

    `molar_mass` is in g/mol and `charge` in elementary charges; None where amounts of it are not converted.
    """

    name: str
    unit: str
    molar_mass: Fraction | None
    charge: int | None
    lowest: float
    highest: float
    loinc: tuple[str, ...]
    lowest_source: str
    highest_source: str

    @property
    def bound(self) -> str:
        """Return what a value outside is told: the measure and its bounds, never the value."""
        return f"{self.name} is outside {self.lowest:.12g} to {self.highest:.12g} {self.unit}"


@cache
def load_measures() -> Mapping[str, Measure]:
    """Return all measures by name, in the order of the table."""
    return {row["name"]: _measure(row) for row in read_rows("measures.csv")}


@cache
def measures_by_loinc() -> Mapping[str, Measure]:
    """Return the measure of every LOINC code in the table."""
    return {code: measure for measure in load_measures().values() for code in measure.loinc}


def measure_of(code: str | None, loinc: str | None, *, mimic: bool) -> Measure | None:
    """Return the measure of an item, None where the table has none of it.

    With `mimic`, `code` is an item id of MIMIC and goes first: D_LABITEMS of MIMIC-III gives some items the code of
    another, as 2500-7 (iron binding capacity) to transferrin. Otherwise the LOINC code alone is asked.
    """
    item = mimic_items().get(code or "") if mimic else None
    named = load_measures().get(item.name) if item else None
    return named or measures_by_loinc().get(loinc or "")


def _measure(row: Mapping[str, str]) -> Measure:
    return Measure(
        name=row["name"],
        unit=row["unit"],
        molar_mass=Fraction(row["molar_mass"]) if row["molar_mass"] else None,
        charge=int(row["charge"]) if row["charge"] else None,
        lowest=float(row["lowest"]),
        highest=float(row["highest"]),
        loinc=tuple(row["loinc"].split()),
        lowest_source=row["lowest_source"],
        highest_source=row["highest_source"],
    )
