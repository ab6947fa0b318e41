"""An experiment in the terminal: the tables of its page that fit 80 columns, the best of a column marked."""

from cohorts.commands.output.plain_table import plain, show
from cohorts.commands.output.report_table import report_table
from cohorts.harness.bench.report.page import SYNTHETIC, Report, headline
from cohorts.harness.bench.report.tables import BUILT, of_k
from rich.console import Console


def show_bench(report: Report) -> None:
    """Print what each setting and build costs, and what at equal recall, to stdout."""
    Console().print(plain(headline(report.summary)))
    specs = [
        spec for k in report.summary.experiment.k for spec in of_k(k)[:2]
    ]  # equal recall, and one client
    for spec in (*specs, BUILT):
        synthetic = SYNTHETIC if report.summary.facts.synthetic else False
        show(report_table(spec.of(report.run), synthetic=synthetic, stacked=True))
