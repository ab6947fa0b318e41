"""The synthetic hospital: invented patients in MIMIC-III's tables. Nothing in it has a clinical meaning.

Patients are made in blocks, so memory does not grow with their number. In each, stays are drawn from conditions that
raise one another, and everything else from what a stay has: codes, drugs, values by time, cultures, notes. Shares are
those of TOML files beside this one, calibrated to two open demos (docs/synthetic.md). Notes are shuffled over blocks:
the table is not sorted by patient.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cohorts.errors import InputError
from cohorts.private_files import private_folder, write_private

MARKER = "SYNTHETIC.json"  # the readers look for it
GENERATOR_VERSION = 2
FIRST_PATIENT = 10_001
BLOCK_PATIENTS = 1_000


@dataclass(frozen=True)
class SynthReport:
    """How many rows of each table were written."""

    rows: Mapping[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{table} {count:,}" for table, count in self.rows.items())


def synthesize(folder: Path, patients: int, seed: int, plant: Path | None = None) -> SynthReport:
    """Write the tables of `patients` invented patients; same seed and plants, same bytes.

    `plant` is a file of what is planted (docs/synthetic.md); where it fell is written beside the tables. Raises
    InputError.
    """
    if patients < 1:
        raise InputError(f"A hospital of {patients} patients can't be made; ask for at least 1.")
    if seed < 0:
        raise InputError(f"The seed {seed} can't be used; it must be 0 or more.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new or an empty folder.")
    from cohorts.records.synthetic.blocks import Blocks
    from cohorts.records.synthetic.plants.declared import Plants, read_plants

    plants = read_plants(plant) if plant is not None else Plants()
    private_folder(folder)
    about = {
        "synthetic": True,
        "what": "Invented patients, made by cohorts synth. No clinical meaning.",
        "generator_version": GENERATOR_VERSION,
        "patients": patients,
        "seed": seed,
    }
    write_private(folder / MARKER, json.dumps(about, indent=2) + "\n")
    blocks = Blocks(folder, plants, (GENERATOR_VERSION, seed), FIRST_PATIENT, patients)
    return SynthReport(blocks.write(BLOCK_PATIENTS))
