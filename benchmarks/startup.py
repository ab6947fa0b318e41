"""Start of `cohorts --help` against a bare typer app's: processor time, interleaved in one run. Bar: 1.5 times."""

import resource
import statistics
import subprocess
import sys

ROUNDS = 15
BARE = "import typer; app = typer.Typer()\n@app.command()\ndef hello(): pass\napp()"


def seconds(*command: str) -> float:
    """Return the processor time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command, "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Run it and print the ratio of the medians."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(seconds("-c", "from cohorts.cli import main; main()"))
        bare.append(seconds("-c", BARE))
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"cohorts --help {statistics.median(ours):.3f} s of processor, a bare typer app "
        f"{statistics.median(bare):.3f} s: {ratio:.2f} times (median of {ROUNDS}, interleaved)"
    )
    return int(ratio > 1.5)


if __name__ == "__main__":
    sys.exit(main())
