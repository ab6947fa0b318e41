"""What concept maps know of a source, as tables, as JSON or as CSV."""

import csv
import sys
from dataclasses import asdict

from cohorts.commands.output import log
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, show
from cohorts.plain_text import csv_cell, json_text
from cohorts.records.codes.concepts.applied import Maps
from cohorts.records.codes.concepts.coverage import LEAST_PATIENTS, Coverage, Share, Unmapped

_TOLD = ("name", "version", "licence")


def show_coverage(found: Coverage, used: Maps, output: str, *, synthetic: bool) -> None:
    """Print shares, and codes without a concept, to stdout; CSV has both, told apart by the column `table`."""
    if output == "json":
        maps = [{name: getattr(one, name) for name in _TOLD} for one in used.maps]
        print(json_text({"synthetic": synthetic, "maps": maps, **found.as_dict()}, indent=2))  # noqa: T201 - this is the output
    elif output == "csv":
        _write_csv(found)
    else:
        show(_shares(found, synthetic), _maps(found, used), _unmapped(found))
    if found.not_shown:
        log.say(
            "note",
            f"{found.not_shown:,} more codes have no concept: of fewer than {LEAST_PATIENTS} patients each, or beyond "
            "those that were asked for.",
        )


def _shares(found: Coverage, synthetic: bool) -> PlainTable:
    table = PlainTable(SYNTHETIC if synthetic else "", collapse_padding=True)
    for name in ("kind", "vocabulary", "map"):
        table.add_column(name, no_wrap=True)
    for name in ("rows", "mapped", "codes", "mapped", "several"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.shares:
        numbers = (f"{one.rows:,}", _percent(one.mapped_rows, one.rows))
        distinct = (f"{one.distinct:,}", _percent(one.mapped_distinct, one.distinct), f"{one.several:,}")
        table.add_row(one.kind, one.system, one.map or "none", *numbers, *distinct)
    return table


def _maps(found: Coverage, used: Maps) -> PlainTable:
    table = PlainTable("the maps", collapse_padding=True)
    for name in _TOLD:
        table.add_column(name)
    for one in used.maps:
        if any(share.map == one.name for share in found.shares):
            table.add_row(*(getattr(one, name) for name in _TOLD))
    return table


def _unmapped(found: Coverage) -> PlainTable:
    table = PlainTable("without a concept", collapse_padding=True)
    for name in ("kind", "vocabulary", "code"):
        table.add_column(name)
    for name in ("rows", "patients"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.unmapped:
        table.add_row(one.kind, one.system, one.code, f"{one.rows:,}", f"{one.patients:,}")
    return table


def _write_csv(found: Coverage) -> None:
    names = list(dict.fromkeys((*Share.__dataclass_fields__, *Unmapped.__dataclass_fields__)))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["table", *names])
    for table, rows in (("share", found.shares), ("unmapped", found.unmapped)):
        for row in map(asdict, rows):
            writer.writerow([table, *(csv_cell(row.get(name)) for name in names)])


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"
