"""A dry run over eight tables: ours, that of commit 1086283, and plain DuckDB over the same tables, in one run.

Invented tables in MIMIC-III's shape and density (SYNTHETIC): 600 laboratory rows, 45 notes and 90 drugs a patient.
DuckDB reads, types and joins the eight tables, deals them to parts by patient, and reads every part back; it checks
nothing, and quarantines nothing. Processor time of whole processes, least of some interleaved rounds, and their peak of
memory. The way of commit 1086283 is read from git, and left out where git has it not. With more numbers of patients
than one, growth between the least and the largest is told.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

ROUNDS = 3
OLD = "1086283"
LABS, NOTES, DRUGS = 600, 45, 90  # of each patient
OURS = "from cohorts.cli import main; main()"
BY_DUCKDB = Path(__file__).with_name("records_by_duckdb.py")
CODES = ["4019", "41401", "25000", "486", "51881", "5849", "0389", "V4581"]
WORDS = 'patient was seen, and is "stable"; denies pain. given 40 mg daily, then home with services'.split()  # noqa: SIM905


@dataclass(frozen=True)
class Spent:
    """What a process took: processor seconds, seconds, and the most memory in MiB."""

    processor: float
    wall: float
    peak_mib: float


def write_tables(folder: Path, patients: int) -> float:
    """Write the tables of so many invented patients, and return their size in MB."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    subjects = np.arange(10_000, 10_000 + patients)
    of = rng.integers(1, 4, patients).cumsum()  # admissions
    owner = np.searchsorted(of, np.arange(of[-1]), "right")
    admitted = np.datetime64("2130-01-01T08:00:00") + rng.integers(0, 10**9, len(owner)).astype("m8[s]")
    stays = 100_000 + np.arange(len(owner))
    admissions = pd.DataFrame(
        {
            "SUBJECT_ID": subjects[owner],
            "HADM_ID": stays,
            "ADMITTIME": admitted,
            "DISCHTIME": admitted + np.timedelta64(6, "D"),
            "DEATHTIME": np.where(rng.random(len(owner)) < 0.05, "2160-01-01 10:00:00", ""),
            "ADMISSION_TYPE": "EMERGENCY",
            "DISCHARGE_LOCATION": "HOME",
            "HOSPITAL_EXPIRE_FLAG": 0,
        }
    )
    _write(
        folder,
        "PATIENTS",
        pd.DataFrame({"SUBJECT_ID": subjects, "GENDER": "F", "DOB": "2070-05-01 00:00:00", "DOD": ""}),
    )
    _write(folder, "ADMISSIONS", admissions)
    icu = {
        "FIRST_CAREUNIT": "MICU",
        "LAST_CAREUNIT": "MICU",
        "INTIME": admitted,
        "OUTTIME": admitted,
        "LOS": 2.5,
    }
    _write(folder, "ICUSTAYS", _of_stays(admissions, rng, len(owner), icu))
    many = 14 * patients
    _write(
        folder,
        "DIAGNOSES_ICD",
        _of_stays(
            admissions, rng, many, {"SEQ_NUM": 1 + np.arange(many) % 9, "ICD9_CODE": _codes(rng, many)}
        ),
    )
    _write(
        folder,
        "PROCEDURES_ICD",
        _of_stays(
            admissions,
            rng,
            5 * patients,
            {"SEQ_NUM": 1, "ICD9_CODE": [f"{code:04}" for code in (np.arange(5 * patients) * 7) % 9_900]},
        ),
    )
    _write(folder, "PRESCRIPTIONS", _drugs(admissions, rng, DRUGS * patients))
    _write(folder, "LABEVENTS", _labs(admissions, rng, LABS * patients))
    _write(folder, "NOTEEVENTS", _notes(admissions, rng, NOTES * patients))
    titles = {"ICD9_CODE": CODES, "SHORT_TITLE": CODES, "LONG_TITLE": [f"Disease {code}" for code in CODES]}
    pd.DataFrame(titles).to_csv(folder / "D_ICD_DIAGNOSES.csv", index=False)
    pd.DataFrame(
        {"ROW_ID": range(400), "ITEMID": 50_800 + np.arange(400), "LABEL": [f"Item {i}" for i in range(400)]}
    ).to_csv(folder / "D_LABITEMS.csv", index=False)
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def _codes(rng: np.random.Generator, many: int) -> np.ndarray:
    return rng.choice(np.array(CODES), many)


def _of_stays(
    admissions: pd.DataFrame, rng: np.random.Generator, many: int, columns: dict[str, object]
) -> pd.DataFrame:
    """Return so many rows of random admissions, not in their order."""
    places = rng.integers(0, len(admissions), many)
    ids = admissions[["SUBJECT_ID", "HADM_ID"]].iloc[places].reset_index(drop=True)
    return ids.assign(**columns)


def _drugs(admissions: pd.DataFrame, rng: np.random.Generator, many: int) -> pd.DataFrame:
    began = np.datetime64("2140-01-01T00:00:00") + rng.integers(0, 9_000, many).astype("m8[D]")
    columns = {
        "STARTDATE": began,
        "ENDDATE": began + np.timedelta64(3, "D"),
        "DRUG": rng.choice(np.array([f"Drug {i}" for i in range(900)]), many),
        "NDC": rng.integers(10**8, 10**9, many),
        "DOSE_VAL_RX": rng.choice(np.array(["40", "1-2", "500"]), many),
        "DOSE_UNIT_RX": "mg",
        "ROUTE": "PO",
    }
    return _of_stays(admissions, rng, many, columns)


def _labs(admissions: pd.DataFrame, rng: np.random.Generator, many: int) -> pd.DataFrame:
    panels = np.datetime64("2140-01-01T00:00:00") + rng.integers(0, 10**9, many // 15).astype("m8[s]")
    values = np.round(rng.gamma(2, 20, many), 1)
    columns = {
        "ITEMID": 50_800 + np.arange(many) % 400,
        "CHARTTIME": panels.repeat(15),
        "VALUE": values,
        "VALUENUM": values,
        "VALUEUOM": "mg/dL",
        "FLAG": np.where(np.arange(many) % 3, "", "abnormal"),
    }
    made = _of_stays(admissions, rng, many // 15, {}).loc[lambda rows: rows.index.repeat(15)]
    return made.reset_index(drop=True).assign(**columns)


def _notes(admissions: pd.DataFrame, rng: np.random.Generator, many: int) -> pd.DataFrame:
    lines = [" ".join(rng.choice(WORDS, 12)) for _ in range(5_000)]
    texts = ["\n".join(lines[i] for i in rng.integers(0, 5_000, n)) for n in rng.integers(5, 55, many)]
    when = np.datetime64("2140-01-01T00:00:00") + rng.integers(0, 10**9, many).astype("m8[s]")
    columns = {
        "CHARTDATE": when.astype("M8[D]"),
        "CHARTTIME": when,
        "CATEGORY": rng.choice(np.array(["Nursing", "Radiology", "Physician "]), many),
        "ISERROR": "",
        "TEXT": texts,
    }
    return _of_stays(admissions, rng, many, columns)


def _write(folder: Path, name: str, rows: pd.DataFrame) -> None:
    rows.insert(0, "ROW_ID", np.arange(len(rows)))
    table = pa.Table.from_pandas(rows, preserve_index=False)
    times = {column.name for column in table.schema if pa.types.is_timestamp(column.type)}
    for column in times:  # without fractions of a second
        text = pa.compute.strftime(table.column(column), format="%Y-%m-%d %H:%M:%S")
        table = table.set_column(table.column_names.index(column), column, text)
    pyarrow.csv.write_csv(table, folder / f"{name}.csv")


def commit(name: str, folder: Path) -> Path | None:
    """Unpack a commit below `folder` as the package, None where git has it not."""
    packed = subprocess.run(
        ["git", "archive", name], capture_output=True, check=False, cwd=Path(__file__).parents[1]
    )
    if packed.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / "cohorts", filter="data")
    return folder


def run(command: list[str], environment: dict[str, str]) -> Spent:
    began = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=told, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            told.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {status}:\n{told.read().decode()}")
    return Spent(used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024)


def dry_run(tables: Path, work: Path) -> list[str]:
    read = ["ingest", "--source", "mimic3", "--path", str(tables), "--dry-run", "--run-dir", str(work)]
    return [sys.executable, "-c", OURS, *read]


def measure(contenders: dict[str, tuple[list[str], dict[str, str]]]) -> dict[str, Spent]:
    """Return what each took at least; each is a command with its environment."""
    taken: dict[str, list[Spent]] = {one: [] for one in contenders}
    for _ in range(ROUNDS):
        for one, (command, environment) in contenders.items():
            taken[one].append(run(command, environment))
    return {one: min(spent, key=lambda spent: spent.processor) for one, spent in taken.items()}


def tell(best: dict[str, Spent], start: dict[str, Spent]) -> None:
    for one, spent in best.items():
        behind = spent.processor - start[one].processor
        ours = best["ours"].processor - start["ours"].processor
        print(
            f"  {one:8} {spent.processor:7.2f} s of processor, {spent.wall:6.2f} s, {spent.peak_mib:6,.0f} MiB"
            f"  = {spent.processor / best['ours'].processor:5.2f} x ours, {behind / ours:5.2f} x behind the start"
        )


def tell_growth(many: float, few: Spent, most: Spent, start: Spent) -> None:
    """Print how time and memory grow where the patients are so many times as many."""
    behind = (most.processor - start.processor) / (few.processor - start.processor)
    print(
        f"{many:.0f} x patients: {most.processor / few.processor:.1f} x time, {behind:.1f} x behind the start, "
        f"{most.peak_mib / few.peak_mib:.2f} x memory"
    )


def main(sizes: list[int]) -> None:
    """Run it and print the ratios; `behind the start` is less what ten patients take."""
    with tempfile.TemporaryDirectory(prefix="records-") as name:
        folder = Path(name)
        old = commit(OLD, folder / OLD)
        ours: list[Spent] = []
        start: dict[str, Spent] = {}
        for patients in (10, *sizes):
            tables = folder / f"of-{patients}"
            # By a process of its own: what a child takes at most counts from what its parent has.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                size_mb = other.submit(write_tables, tables, patients).result()
            print(f"{patients:,} patients, {size_mb:,.0f} MB (SYNTHETIC)", flush=True)
            dry = dry_run(tables, folder / "run")
            contenders: dict[str, tuple[list[str], dict[str, str]]] = {
                "ours": (dry, {}),
                "DuckDB": ([sys.executable, str(BY_DUCKDB), str(tables), str(folder / "parts")], {}),
            }
            if old is not None:
                contenders[OLD] = dry, {"PYTHONPATH": str(old)}
            best = measure(contenders)
            if start:
                tell(best, start)
                ours.append(best["ours"])
            else:
                start = best
                print("  " + ", ".join(f"{one} {spent.processor:.2f} s" for one, spent in best.items()))
        if len(ours) > 1:
            tell_growth(sizes[-1] / sizes[0], ours[0], ours[-1], start["ours"])


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or [1_000])
