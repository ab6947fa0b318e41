"""What a run read, wrote and took, and what a verification compared."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cohorts.commands.output import log
from cohorts.commands.output.plain_table import SYNTHETIC, two_columns
from cohorts.commands.output.report_table import report_table
from cohorts.harness.evaluate.note_categories import category_tables
from rich.console import Console

if TYPE_CHECKING:
    from cohorts.loaders.journal.verify import Verdict

_IF_ANY = {
    "unchanged": "units that stood there already",
    "not_encodable": "units with nothing to encode",
    "rejected": "points that could not be written",
    "vanished": "units that the source has no more",
    "removed": "of them removed",
}
_TOLD_S = 0.1  # shorter waits are no news


def show_summary(manifest: Mapping[str, Any], *, dry_run: bool) -> None:
    """Print what a run read, wrote and took to stderr."""
    if log.is_json():
        log.tell("summary", **manifest)
        return
    table = two_columns("read and checked" if dry_run else "loaded")
    read = (*(_rows(manifest) if dry_run else ()), *_read(manifest))
    for label, value in (*read, *(() if dry_run else _written(manifest)), *_spent(manifest)):
        table.add_row(label, f"{value:>9}")
    Console(stderr=True).print(table)
    for categories in category_tables(manifest.get("note_categories", ())):
        Console(stderr=True).print(report_table(categories))
    for note in _notes(manifest, dry_run=dry_run):
        log.say("note", f"Note: {note.removesuffix('.')}.")


def _rows(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows of every table, and those that the SELECT of every frame made of them."""
    for name, head in (("rows", "rows of table "), ("selected", "rows of SELECT ")):
        for what, count in manifest.get(name, {}).items():
            yield head + what, f"{count:,}"


def _read(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, head in (
        ("counts", ""),
        ("quarantined", "quarantined: "),
        ("left_out", "left out: "),
        ("cut", ""),
    ):
        for what, count in manifest.get(name, {}).items():
            yield head + what, f"{count:,}"


def _written(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "vectors written", f"{manifest['written']:,}"
    for what, label in _IF_ANY.items():
        if manifest[what]:
            yield label, f"{manifest[what]:,}"
    for file, about in manifest.get("kept", {}).items():
        yield f"rows of {file}", f"{about['rows']:,}"
    yield "vectors per second (write and index)", f"{manifest['vectors_per_s']:,}"


def _spent(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for stage, spent_s in manifest["seconds"].items():
        yield f"seconds to {stage}", f"{spent_s:,.2f}"
        for what, waited_s in manifest["waits"].get(stage, {}).items():
            if waited_s >= _TOLD_S:
                yield f"  waited {what.removesuffix('_s').replace('_', ' ')}", f"{waited_s:,.2f}"
    if manifest["bottleneck"]:
        yield "the slowest stage", manifest["bottleneck"]
    yield "seconds in all", f"{manifest['total_s']:,.2f}"
    yield "peak memory (MiB)", f"{manifest['peak_rss_mib']:,}"


def _notes(manifest: Mapping[str, Any], *, dry_run: bool) -> Iterator[str]:
    if not dry_run and manifest["index"]["translation"]:
        yield manifest["index"]["translation"]
    if modules := manifest.get("encoder", {}).get("modules"):
        yield f"vectors are made by the modules of the text model's own folder: {', '.join(modules)}"
    if lacks := manifest.get("encoder", {}).get("lacks"):
        yield lacks
    if manifest["vanished"] > manifest["removed"]:
        yield (
            f"{manifest['vanished']:,} units stand in the collection and not in the source any more; --update "
            "--remove-vanished removes them"
        )
    yield from manifest.get("warnings", ())
    if manifest.get("synthetic"):
        yield SYNTHETIC


def show_verdict(verdict: "Verdict", name: str) -> None:
    """Print what a verification counted and compared to stderr."""
    if log.is_json():
        log.tell("verified", collection=name, faults=verdict.faults(), **asdict(verdict))
        return
    table = two_columns(f"collection {name}")
    for label, count in (
        ("vectors written", verdict.written),
        ("vectors there", verdict.held),
        ("compared, vector and payload", verdict.compared),
        ("missing", len(verdict.missing)),
        ("other vector", len(verdict.vectors)),
        ("other payload", len(verdict.payloads)),
        ("of others", verdict.strangers),
    ):
        table.add_row(label, f"{count:>9,}")
    Console(stderr=True).print(table)
