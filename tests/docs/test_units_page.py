"""The page of units lists what the tables hold."""

from collections.abc import Iterator
from pathlib import Path

from cohorts.records.measured.measures import Measure, load_measures
from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.packaged import read_rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "units.md"


def measures() -> Iterator[str]:
    yield "| measure | unit | possible | source of the bounds | LOINC | items of MIMIC |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in load_measures().values():
        possible = f"{one.lowest:.12g} to {one.highest:.12g}"
        source = f"{one.lowest_source}; {one.highest_source}"
        yield f"| {one.name} | {one.unit} | {possible} | {source} | {', '.join(one.loinc)} | {items(one)} |"


def items(measure: Measure) -> str:
    """Return the ids of a measure, the unit that they have by definition behind them."""
    units: dict[str, list[str]] = {}
    for id_, item in mimic_items().items():
        if item.name == measure.name:
            units.setdefault(item.unit, []).append(id_)
    return ", ".join(
        f"{' '.join(ids)} ({unit})" if unit not in ("", measure.unit) else " ".join(ids)
        for unit, ids in units.items()
    )


def units() -> Iterator[str]:
    yield "| unit | dimension | spellings |"
    yield "| --- | --- | --- |"
    for row in read_rows("units.csv"):
        spelled = ", ".join(f"`{one}`" for one in row["written"].split() if one != "(none)")
        dimension = f"{row['dimension']} (of {row['only']})" if row["only"] else row["dimension"]
        yield f"| {row['unit']} | {dimension} | {spelled} |"


def amounts() -> Iterator[str]:
    yield "| unit | is | spellings |"
    yield "| --- | --- | --- |"
    for row in read_rows("amounts.csv"):
        spelled = ", ".join(f"`{one}`" for one in row["written"].split())
        kept = "kept" if row["unit"] == row["in"] else f"{row['scale']} {row['in']}"
        yield f"| {row['unit']} | {kept} | {spelled} |"


def test_the_page_lists_every_measure_and_every_unit() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for table in ("\n".join(measures()), "\n".join(units()), "\n".join(amounts())):
        assert table in text, f"docs/units.md lacks this table:\n{table}"
