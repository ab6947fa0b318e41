"""Who the invented patients are: what they have for life, their stays, what each stay finds, and how it ends."""

from dataclasses import dataclass, fields

import numpy as np
from cohorts.records.synthetic.network import PERSON, Flags, Floats, Ints, Streams, parameters, share_of
from cohorts.records.synthetic.plants.planting import Planting
from cohorts.records.synthetic.stays import DAY, UNEXPLAINED, Patients, Stays, conditions, features_of_stays

MOST_STAYS = 6
FIRST_DAY = int(np.datetime64("2100-01-01", "s").astype(np.int64))
YEARS = 90  # over which first admissions are spread
DEATH = -4.8  # log odds of death in hospital where nothing raises it
DEATH_BY_SEVERITY = 0.85
DEATH_BY_DECADE = 0.25
USUAL_DAYS = 5.2
COMES_BACK = -1.6  # log odds of another stay
BACK_FOR = ("heart_failure", "copd", "cirrhosis", "chronic_kidney_disease", "cancer", "dialysis_dependence")


def invent(streams: Streams, first: int, many: int, planting: Planting) -> tuple[Patients, Stays]:
    """Invent the patients `first` to `first + many - 1` and all their stays."""
    rng = streams("patients")
    age = np.clip(
        np.where(rng.random(many) < 0.75, rng.normal(70, 12, many), rng.normal(45, 16, many)), 18.1, 98
    )
    female = rng.random(many) < 0.46
    frailty = rng.normal(size=many)
    lasting = np.zeros((many, len(features_of_stays())))
    lasting[:, 0], lasting[:, 1] = (age - 65) / 10, female
    _draw_conditions(rng, lasting, range(len(parameters("conditions")["chronic"])))
    when = FIRST_DAY + rng.integers(YEARS * 365 * DAY // 60, size=many) * 60
    rows, parts = np.arange(many), []
    died_at = np.full(many, -1, dtype=np.int64)
    in_hospital = np.zeros(many, dtype=bool)
    for place in range(MOST_STAYS):
        stay = _stay(streams(f"stay {place}"), lasting[rows], frailty[rows], planting, first + rows, place)
        left = when[rows] + (stay.days * DAY).astype(np.int64) // 60 * 60
        parts.append((rows, np.full(len(rows), place), when[rows], left, stay))
        in_hospital[rows] = stay.died
        died_at[rows[stay.died]] = left[stay.died]
        _remember(lasting, rows, stay.features)
        rows, left = rows[~stay.died], left[~stay.died]
        rng = streams(f"afterwards {place}")
        back, death = _afterwards(rng, stay.features[~stay.died], left)
        died_at[rows] = death
        comes = (back >= 0) & ((death < 0) | (back < death))
        when[rows[comes]] = back[comes]
        died_at[rows[comes]] = -1
        rows = rows[comes]
    stays = _stays(parts, first, age, female)
    return _patients(first, age, female, stays, died_at, in_hospital), stays


@dataclass(frozen=True)
class _Stay:
    features: Floats
    principal: Ints
    died: Flags
    days: Floats


def _stay(
    rng: np.random.Generator, lasting: Floats, frailty: Floats, planting: Planting, patients: Ints, place: int
) -> _Stay:
    """Draw one stay for each row of lasting features."""
    features = lasting.copy()
    severity = PERSON.index("severity")
    features[:, severity] = 0.6 * frailty + 0.8 * rng.normal(size=len(features))
    things, chronic = conditions(), len(parameters("conditions")["chronic"])
    planting.lasting(features, patients)
    _draw_conditions(rng, features, range(chronic, len(things.names)))
    planting.conditions(features, patients)
    principal = _principal(rng, features)
    has = features[:, len(PERSON) :]
    features[:, severity] += has @ np.array([one.get("ill", 0.0) for one in things.about])
    odds = DEATH + DEATH_BY_SEVERITY * features[:, severity] + DEATH_BY_DECADE * features[:, 0]
    odds += has @ np.array([one.get("death", 0.0) for one in things.about])
    died = rng.random(len(features)) < share_of(odds + planting.death(features, patients * 10 + place))
    ill = features[:, severity] + 1.5 * features[:, features_of_stays().index("ventilated")]
    days = USUAL_DAYS * np.exp(rng.normal(0.2 * ill, 0.6)) * planting.days(features, patients)
    days = np.clip(days, 0.7, 60)
    return _Stay(features, principal, died, np.where(died, days * rng.uniform(0.3, 1, len(days)), days))


def _draw_conditions(rng: np.random.Generator, features: Floats, columns: range) -> None:
    """Draw conditions one after the other, each by all that is there before it."""
    things = conditions()
    chances = rng.random((len(features), len(columns)))
    for place, column in enumerate(columns):
        odds = things.base[column] + features @ things.weights[:, column]
        features[:, len(PERSON) + column] = chances[:, place] < share_of(odds)


def _principal(rng: np.random.Generator, features: Floats) -> Ints:
    """Return what each stay is for: one of what is there, by weight."""
    weight = np.array([one.get("reason", 0.0) for one in conditions().about])
    with np.errstate(divide="ignore"):
        score = np.log(features[:, len(PERSON) :] * weight) + rng.gumbel(size=(len(features), len(weight)))
    found = score.argmax(axis=1)
    return np.where(np.isfinite(score.max(axis=1)), found, UNEXPLAINED).astype(np.int64)


def _remember(lasting: Floats, rows: Ints, features: Floats) -> None:
    """Give those who had something what it leaves behind."""
    names = features_of_stays()
    for name, one in parameters("conditions")["chronic"].items():
        if "after" in one:
            lasting[rows[features[:, names.index(one["after"])] > 0], names.index(name)] = 1


def _afterwards(rng: np.random.Generator, features: Floats, left: Ints) -> tuple[Ints, Ints]:
    """Return when each comes back and when each dies outside the hospital, -1 for never (within 4 years)."""
    names, many = features_of_stays(), len(left)
    ill = features[:, [names.index(name) for name in BACK_FOR]].sum(axis=1)
    comes = rng.random(many) < share_of(COMES_BACK + 0.45 * ill)
    back = left + (np.exp(rng.normal(4.4, 1.3, many)) * DAY).astype(np.int64) // 60 * 60
    hazard = 0.05 * np.exp(0.5 * features[:, 0] + 0.35 * ill + 0.4 * features[:, PERSON.index("severity")])
    death = left + ((rng.exponential(size=many) / hazard * 365 + 1) * DAY).astype(np.int64)
    return np.where(comes, back, -1), np.where(death < left + 4 * 365 * DAY, death, -1)


def _stays(
    parts: list[tuple[Ints, Ints, Ints, Ints, _Stay]], first: int, age: Floats, female: Flags
) -> Stays:
    rows, place, admitted, discharged = (
        np.concatenate([part[column] for part in parts]) for column in range(4)
    )
    order = np.lexsort((place, rows))
    stay = {
        one.name: np.concatenate([getattr(part[4], one.name) for part in parts])[order]
        for one in fields(_Stay)
    }
    rows, place, admitted, discharged = rows[order], place[order], admitted[order], discharged[order]
    came = admitted[np.searchsorted(rows, rows)]  # their first stay
    return Stays(
        patient=first + rows,
        place=place,
        age=(age[rows] + (admitted - came) / (365.25 * DAY)).astype(np.int64),
        female=female[rows],
        admitted=admitted,
        discharged=discharged,
        died=stay["died"],
        features=stay["features"],
        principal=stay["principal"],
    )


def _patients(first: int, age: Floats, female: Flags, stays: Stays, died: Ints, inside: Flags) -> Patients:
    """Return the patients; those over 89 at their last stay are born 300 years before their first, as in MIMIC-III."""
    many = len(age)
    came = stays.admitted[np.searchsorted(stays.patient, first + np.arange(many))]
    born = came - (age * 365.25 * DAY).astype(np.int64)
    last = stays.age[np.searchsorted(stays.patient, first + np.arange(many), side="right") - 1]
    born = np.where(last > 89, came - 300 * 365 * DAY - 73 * DAY, born) // DAY * DAY
    return Patients(first + np.arange(many), female, born, np.where(died < 0, -1, died // DAY * DAY), inside)
