"""What is known of every unit of a source that says who died: what splits and judgements are made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.errors import InputError
from cohorts.records.base import Source
from cohorts.records.codes.phenotypes import phenotypes_of


@dataclass(frozen=True)
class Units:
    """Of n units: ids, patients, who died, and the phenotype of the principal diagnosis ("" for none)."""

    ids: list[str]
    patients: "pd.Series[str]"
    died: npt.NDArray[np.bool_]
    phenotype: npt.NDArray[np.str_]

    @cached_property
    def patient(self) -> npt.NDArray[np.intp]:
        """Return the number of every unit's patient, (n,)."""
        return pd.factorize(self.patients)[0].astype(np.intp)


def read_units(source: Source) -> Units:
    """Read all units. Raises InputError where there are none, or where it is not known of all whether they died."""
    frames = [batch.units for batch in source.batches()]
    if not frames:
        raise InputError(f"The source holds no {source.unit}s.")
    units = pd.concat(frames, ignore_index=True)
    if units["died"].isna().any():
        raise InputError(
            f"Of {int(units['died'].isna().sum()):,} {source.unit}s it is not known whether they ended with death: "
            "this table needs a source that says so, as mimic3 and mimic4 do."
        )
    codes = units.rename(columns={"principal_system": "system", "principal_code": "code"})
    return Units(
        units["unit_id"].tolist(),
        units["patient_id"],
        units["died"].to_numpy(dtype=np.bool_),
        phenotypes_of(codes).fillna("").to_numpy(dtype=np.str_),
    )
