"""What a command costs before it works, in processor time: help, and cold queries on embedded Qdrant. Bar of help: 1.5.

All commands run in turn, ROUNDS times: `cohorts --help`, a bare typer app's, a query by patient and, of notes, one by
text, on a small synthetic hospital. Bare typer is what the ratio of help is to.

    python benchmarks/startup.py [PYTHON]

PYTHON is that of an environment in which another version of cohorts is installed: its query by patient runs in the
same turns, on a store of its own, and the ratio is told.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
BARE = "import typer; app = typer.Typer()\n@app.command()\ndef hello(): pass\napp()"
OURS = "from cohorts.cli import main; main()"
PATIENT = ("--patient", "10006")
TEXT = ("--text", "heart failure with edema, no fever")


def seconds(python: str, code: str, *arguments: str) -> float:
    """Return the processor time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-c", code, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def query(python: str, hospital: Path, encoder: str) -> list[str]:
    """Load the hospital into a store beside it, and return the arguments of a query there."""
    store = tempfile.mkdtemp(dir=hospital.parent)
    where = ["--store", f"qdrant:{store}/store", "--collection", "icu"]
    source = ["--source", "mimic3", "--path", str(hospital), "--encoder", encoder]
    seconds(python, OURS, "ingest", *source, *where)
    return ["query", *where]


def main() -> int:
    """Run it and print seconds and ratios of the medians."""
    other = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        hospital = Path(folder) / "hospital"
        seconds(sys.executable, OURS, "synth", str(hospital), "--patients", "200")
        asked = query(sys.executable, hospital, "word2vec:input=codes")
        of_notes = query(sys.executable, hospital, "concat:lsa+codes")
        runs = {
            "a bare typer app's --help": (sys.executable, BARE, "--help"),
            "cohorts --help": (sys.executable, OURS, "--help"),
            "cohorts query --patient": (sys.executable, OURS, *asked, *PATIENT),
            "cohorts query --text": (sys.executable, OURS, *of_notes, *TEXT),
        }
        if other is not None:
            theirs = query(other, hospital, "word2vec:input=codes")
            runs["the other version's query --patient"] = (other, OURS, *theirs, *PATIENT)
        taken = {name: [seconds(*run)] for name, run in runs.items()}  # fills caches of bytecode: not counted
        for _ in range(ROUNDS):
            for name, run in runs.items():
                taken[name].append(seconds(*run))
    middle = {name: statistics.median(times[1:]) for name, times in taken.items()}
    for name, times in taken.items():
        low, high = min(times[1:]), max(times[1:])
        print(
            f"{name}: {middle[name]:.3f} s of processor, {low:.3f} to {high:.3f} (median of {ROUNDS}, interleaved)"
        )
    bare, ours, by_patient, _, *of_other = middle.values()
    print(f"help, of a bare app's: {ours / bare:.2f} times")
    for its in of_other:
        print(f"query by patient, of the other version's: {by_patient / its:.2f} times")
    return int(ours / bare > 1.5)


if __name__ == "__main__":
    sys.exit(main())
