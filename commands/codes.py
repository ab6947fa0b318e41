"""The command `codes`: how much of a source's codes the concept maps know."""

from typing import Annotated

from cohorts.commands.options import (
    MEMORY_MIB,
    DatesAs,
    DatesName,
    Format,
    MappingFile,
    MapsAsked,
    RunDir,
    SourceName,
    SourcePath,
    Split,
    run_option,
    source_option,
)
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands

app = Commands("Measure")


@app.command()
def codes(
    source: SourceName,
    path: SourcePath,
    maps: MapsAsked = None,
    mapping: MappingFile = None,
    split: Split = "",
    dates: DatesAs = DatesName.ISO,
    shown: Annotated[
        int, run_option(min=1, help="How many codes without a concept to list, of each kind.")
    ] = 50,
    memory_mib: Annotated[
        int, source_option(metavar="<MiB>", min=256, help="Memory to read tables in, beside one batch.")
    ] = MEMORY_MIB,
    run_dir: RunDir = None,
    output: Annotated[Format, run_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Tell by vocabulary how many codes, drugs and laboratory items the built-in concept maps and yours know."""
    from cohorts.commands.output.coverage import show_coverage
    from cohorts.private_files import Scratch, work_folder
    from cohorts.records.codes.concepts.built_in import beside_built_in, open_maps
    from cohorts.records.codes.concepts.coverage import coverage
    from cohorts.records.transforms import reading

    used = beside_built_in(open_maps(maps or ()))
    with (
        Scratch(run_dir or work_folder()) as folder,
        opened_source(
            source, path, folder, mapping=mapping, split=split, dates=dates, memory_mib=memory_mib
        ) as records,
        reading(records, frozenset({"measurements"})),
    ):
        found = coverage(records, used, shown)
    show_coverage(found, used, output.value, synthetic=records.synthetic)
