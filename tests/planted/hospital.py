"""A synthetic hospital whose drugs and words tell conditions: measures of retrieval must find what is planted."""

from pathlib import Path

from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.records.synthetic.hospital import synthesize


def telling_hospital(folder: Path, patients: int, seed: int) -> Path:
    """Make a hospital in `folder`: two drugs and a phrase of its own for nearly every stay with a phenotype."""
    file = folder.with_suffix(".toml")
    file.write_text("\n".join(_plants(one.name) for one in load_phenotypes()))
    synthesize(folder, patients, seed, file)
    return folder


def _plants(condition: str) -> str:
    drug = f'{{ "{condition}imab" = 0.9, "{condition}ol" = 0.8 }}'
    kind = f'share = 0.5, drugs = {drug}, words = ["seen by the {condition.replace("_", "")} team"]'
    types = ", ".join(f'{{ name = "{name}", {kind} }}' for name in ("one", "two"))
    return f'[[subtypes]]\nname = "of {condition}"\ncondition = "{condition}"\ntypes = [{types}]\n'
