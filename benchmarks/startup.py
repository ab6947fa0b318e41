"""Start of `cohorts --help` against a bare typer app's, interleaved in one run. Bar: at most 3 times."""

import statistics
import subprocess
import sys
import time

ROUNDS = 15
BARE = "import typer; app = typer.Typer()\n@app.command()\ndef hello(): pass\napp()"


def seconds(*command: str) -> float:
    """Return how long one run takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *command, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> int:
    """Run it and print the ratio of the medians."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(seconds("-c", "from cohorts.cli import main; main()"))
        bare.append(seconds("-c", BARE))
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"cohorts --help {statistics.median(ours):.3f} s, a bare typer app {statistics.median(bare):.3f} s: "
        f"{ratio:.2f} times (median of {ROUNDS}, interleaved)"
    )
    return int(ratio > 3)


if __name__ == "__main__":
    sys.exit(main())
