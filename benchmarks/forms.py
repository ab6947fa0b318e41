"""How long a hospital takes to be read in other forms, against MIMIC-III's tables, in one run.

    PYTHONPATH=tests python benchmarks/forms.py [PATIENTS] [ROUNDS]

The hospital is synthetic. Every form is opened, read and made into batches, in turn and anew in each round; the median
of the processor's seconds counts, and its ratio to MIMIC-III's.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from other_forms.as_meds import write_meds
from other_forms.as_omop import as_omop

FORMS = {"meds": write_meds, "omop": as_omop}


def seconds(name: str, folder: Path, work: Path) -> tuple[float, int]:
    """Return the seconds of the processor that reading takes, and how many patients were read."""
    began = time.process_time()
    with open_source(name, folder, work_dir=work, quarantine_file=work / "bad.csv") as source:
        patients = sum(map(len, source.batches()))
    return time.process_time() - began, patients


def main(patients: int = 2_000, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        synthesize(place / "mimic3", patients, seed=1)
        made = {"mimic3": place / "mimic3"}
        made |= {name: write(place / "mimic3", place / name) for name, write in FORMS.items()}
        took: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, path in made.items():
                spent, read = seconds(name, path, place / "work")
                assert read == patients
                took[name].append(spent)
        usual = statistics.median(took["mimic3"])
        print(f"{patients:,} synthetic patients, {rounds} rounds")
        for name, all_rounds in took.items():
            middle = statistics.median(all_rounds)
            print(f"{name:8} {middle:6.2f} s  {middle / usual:.2f} times MIMIC-III's tables")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
