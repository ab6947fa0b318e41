"""Units: how each is written, and how a value of a measure comes from one to another.

`units.csv` has one row a unit: a value in the base unit of its dimension is (written + offset) × scale. `written` are
its spellings as `as_written` gives them; "(none)" is no unit at all, which only a pure number may have. A unit with
`only` is one of that measure alone; one with `scale_up_to_1` is read by that scale where the value is at most 1.

Masses become amounts of substance by the measure's molar mass, and charges become amounts by its charge: 1 mEq/L of
calcium is 0.5 mmol/L. Urea nitrogen is counted as the nitrogen of urea, 28.014 g/mol, phosphate as its phosphorus,
triglycerides as triolein. Haemoglobin in mmol/L is no unit here: some count the molecule, others its four chains.

Sources: NIST Special Publication 811 (2008), appendix B.8 (mmHg, cmH2O, lb, oz, in, ft, degF); UCUM 2.1 (spellings);
IUPAC standard atomic weights 2021 (molar masses); 1 ukat/L = 60 U/L by definition; HbA1c by the master equation
NGSP = 0.09148 × IFCC + 2.152 (Hoelzel et al., Clin Chem 2004, doi:10.1373/clinchem.2003.024802).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from cohorts.records.measured.measures import Measure, load_measures
from cohorts.records.measured.packaged import read_rows

_NO_UNIT = "(none)"
_MASS, _SUBSTANCE, _CHARGE = "mass concentration", "substance concentration", "charge concentration"
_SIGNS = str.maketrans("µμ×·º₂", "uux*°2")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_MICRO = re.compile(r"mc(?=g|l|mol|kat|u|iu)")
_METRES = re.compile(r"m\^(?=[23])")  # mm³ and m² are areas and volumes in every spelling
_ASIDE = re.compile(r"\s+|\{[^}]*\}")


@dataclass(frozen=True)
class Conversion:
    """How a written value becomes one in the measure's unit: (written + offset) × factor.

    Values of at most 1 take `factor_up_to_1` in its place.
    """

    offset: float
    factor: float
    factor_up_to_1: float

    @property
    def changes(self) -> bool:
        """Return whether any value becomes another."""
        return (self.offset, self.factor, self.factor_up_to_1) != (0.0, 1.0, 1.0)


@dataclass(frozen=True)
class _Unit:
    name: str
    dimension: str
    scale: Fraction
    offset: Fraction
    scale_up_to_1: Fraction
    only: str
    written: tuple[str, ...]


@cache
def conversion(measure: str, uom: str | None, by_definition: str = "") -> Conversion | None:
    """Return how a value written in `uom` comes into the measure's own unit; None where that is not known.

    Where no unit is written, or none of the measure, `by_definition` names the one of the item, as `units.csv` does:
    CareVue writes the fraction of oxygen (item 190) in torr (MIT-LCP/mimic-code, issue 211).
    """
    wanted, written = load_measures()[measure], as_written(uom)
    found = [one for one in _units().values() if written in one.written and one.only in ("", measure)]
    found += [_units()[by_definition]] if by_definition else []
    return next((way for one in found if (way := _between(one, wanted))), None)


def as_written(uom: str | None) -> str:
    """Return a unit's spelling without what differs between hospitals.

    Blanks, capitals, signs for micro, raised digits (10³ is 10^3), and what UCUM has in braces as no part of the unit.
    """
    if uom is None or not (bare := _ASIDE.sub("", uom)):
        return _NO_UNIT
    powers = _POWER.sub(lambda found: "^" + found[0].translate(_RAISED), bare.translate(_SIGNS))
    return _METRES.sub("m", _MICRO.sub("u", powers.lower()))


@cache
def _units() -> Mapping[str, _Unit]:
    return {row["unit"]: _unit(row) for row in read_rows("units.csv")}


def _unit(row: Mapping[str, str]) -> _Unit:
    return _Unit(
        name=row["unit"],
        dimension=row["dimension"],
        scale=Fraction(row["scale"]),
        offset=Fraction(row["offset"]),
        scale_up_to_1=Fraction(row["scale_up_to_1"] or row["scale"]),
        only=row["only"],
        written=tuple(row["written"].split()),
    )


def _between(unit: _Unit, measure: Measure) -> Conversion | None:
    into = _units()[measure.unit]
    ratio = _ratio(unit.dimension, into.dimension, measure)
    if ratio is None:
        return None
    share = ratio / into.scale
    return Conversion(float(unit.offset), float(unit.scale * share), float(unit.scale_up_to_1 * share))


def _ratio(written: str, wanted: str, measure: Measure) -> Fraction | None:
    """Return how many base units of `wanted` one of `written` is: g/L, mol/L and eq/L of the measure."""
    if written == wanted:
        return Fraction(1)
    in_mol = {
        _SUBSTANCE: Fraction(1),
        _MASS: 1 / measure.molar_mass if measure.molar_mass else None,
        _CHARGE: Fraction(1, measure.charge) if measure.charge else None,
    }
    one, other = in_mol.get(written), in_mol.get(wanted)
    return one / other if one and other else None
