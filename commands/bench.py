"""The command `bench`: stores and indexes measured on vectors."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.options import LogAs, run_option
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands

app = Commands("Measure")


@app.command()
def bench(
    experiment: Annotated[Path, typer.Argument(help="TOML file: data, stores, indexes; see docs/bench.md.")],
    out: Annotated[Path, run_option(help="Folder for results and report; a folder in it per experiment.")],
    only: Annotated[
        list[str] | None, run_option(help="Measure this store alone, by its name. Repeatable.")
    ] = None,
    force: Annotated[
        bool, run_option("--force", help="Measure again what is there already, of the stores measured.")
    ] = False,
    growth: Annotated[
        list[Path] | None,
        run_option(help="Folder of an experiment of another size that has a report. Repeatable."),
    ] = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Measure stores and indexes on your vectors: recall, latency, throughput, build, memory. Goes on if it died."""
    from cohorts.commands.output.bench import show_bench
    from cohorts.harness.bench.plan.experiment import read_experiment
    from cohorts.harness.bench.report.growth import grown
    from cohorts.harness.bench.report.page import Origin, warnings, write_report
    from cohorts.harness.bench.report.summary import summarize
    from cohorts.harness.bench.run.runner import run
    from cohorts.reports.page import check_installed
    from cohorts.workspace import check_writable

    log.choose(log_format)
    check_installed()
    asked = read_experiment(experiment)
    check_writable(out)
    if growth:
        grown(growth)
    folder = run(asked, out, lambda stage: log.say("note", stage), only=only or (), force=force)
    summary = summarize(asked, folder)
    beside = [word for other in growth or () for word in ("--growth", str(other))]
    command = shlex.join(["cohorts", "bench", str(experiment), "--out", str(out), *beside])
    origin = Origin(command, experiment.read_text(encoding="utf-8"))
    page = write_report(folder, summary, origin, growth or ())
    show_bench(summary)
    for warning in warnings(summary):
        log.say("warning", warning)
    log.say("note", f"Report: {page}; every figure: settings.csv, builds.csv and equal_recall.csv beside it.")
