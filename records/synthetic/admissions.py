"""PATIENTS and ADMISSIONS: who came, when, from where, and how it ended."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.movements import HOUR
from cohorts.records.synthetic.network import Ints, Streams, chosen, parameters
from cohorts.records.synthetic.stays import UNEXPLAINED, Patients, Stays, conditions
from cohorts.records.synthetic.tables import Tables, midnights, moments, picked


def write_patients(tables: Tables, patients: Patients) -> None:
    """Write PATIENTS; deaths in hospital stand in one column, those the registers tell of in another."""
    dead = patients.died >= 0
    outside = dead & ~patients.died_in_hospital
    tables.add(
        "PATIENTS",
        len(dead),
        SUBJECT_ID=patients.patient,
        GENDER=picked(["M", "F"], patients.female.astype(int)),
        DOB=midnights(patients.born),
        DOD=midnights(patients.died, missing=~dead),
        DOD_HOSP=midnights(patients.died, missing=~patients.died_in_hospital),
        DOD_SSN=midnights(patients.died, missing=~outside),
        EXPIRE_FLAG=dead.astype(np.int64),
    )


def write_admissions(tables: Tables, streams: Streams, stays: Stays) -> None:
    """Write ADMISSIONS."""
    rng, many = streams("admissions"), len(stays)
    planned = stays.of_any(["valve_surgery", "bypass_surgery", "tumor_surgery"]) & (rng.random(many) < 0.7)
    waited = (rng.uniform(0.5, 7, many) * HOUR).astype(np.int64) // 60 * 60
    came = _drawn(rng, "came", many)
    came = pa.compute.if_else(pa.array(planned), "PHYS REFERRAL/NORMAL DELI", came)
    at_once = ~pa.compute.equal(came, "EMERGENCY ROOM ADMIT").to_numpy(zero_copy_only=False)
    place = pa.compute.if_else(pa.array(stays.died), "DEAD/EXPIRED", _drawn(rng, "home", many))
    old = pa.array(stays.age > 64)
    insurance = pa.compute.if_else(old, "Medicare", _drawn(rng, "insurance", many))
    tables.add(
        "ADMISSIONS",
        many,
        SUBJECT_ID=stays.patient,
        HADM_ID=stays.number,
        ADMITTIME=moments(stays.admitted),
        DISCHTIME=moments(stays.discharged),
        DEATHTIME=moments(stays.discharged, missing=~stays.died),
        ADMISSION_TYPE=picked(["EMERGENCY", "ELECTIVE"], planned.astype(int)),
        ADMISSION_LOCATION=came,
        DISCHARGE_LOCATION=place,
        INSURANCE=insurance,
        LANGUAGE=_drawn(rng, "language", many),
        RELIGION=_drawn(rng, "religion", many),
        MARITAL_STATUS=_drawn(rng, "marital_status", many),
        ETHNICITY=_drawn(rng, "ethnicity", many),
        EDREGTIME=moments(stays.admitted - waited, missing=at_once),
        EDOUTTIME=moments(stays.admitted + waited // 4, missing=at_once),
        DIAGNOSIS=_at_the_door(rng, stays.principal),
        HOSPITAL_EXPIRE_FLAG=stays.died.astype(np.int64),
        HAS_CHARTEVENTS_DATA=1,
    )


def _drawn(rng: np.random.Generator, kind: str, many: int) -> pa.Array:
    weights = parameters("places")["persons"][kind]
    return picked([text or None for text in weights], chosen(rng, list(weights.values()), many))


def _at_the_door(rng: np.random.Generator, principal: Ints) -> pa.Array:
    said: dict[str, Sequence[str]] = parameters("places")["said_at_the_door"]
    lot = rng.random(len(principal))
    texts = []
    for place, share in zip(principal.tolist(), lot.tolist(), strict=True):
        kind = "usual" if place == UNEXPLAINED else conditions().names[place]
        options = said.get(kind, said["usual"])
        texts.append(options[int(share * len(options))])
    return pa.array(texts)
