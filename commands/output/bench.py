"""An experiment in the terminal: the tables of its page that fit 80 columns, the best of a column marked."""

from cohorts.commands.output.plain_table import plain, show
from cohorts.commands.output.report_table import report_table
from cohorts.harness.bench.report.page import SYNTHETIC, headline
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import BUILT, of_k
from rich.console import Console


def show_bench(summary: Summary) -> None:
    """Print what each setting and build costs, and what at equal recall, to stdout."""
    Console().print(plain(headline(summary)))
    specs = [spec for k in summary.experiment.k for spec in of_k(k)[:2]]  # equal recall, and one client
    for spec in (*specs, BUILT):
        synthetic = SYNTHETIC if summary.facts["synthetic"] else False
        show(report_table(spec.of(summary.run), synthetic=synthetic, stacked=True))
