"""Planting: who is treated, reacts, is of which kind or rare. Every lot is a hash of seed, plant and stay or patient.

So a plant draws nothing from the streams of the hospital, and whoever asks later gets the same answer.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from cohorts.private_files import write_private
from cohorts.records.synthetic.network import PERSON, Flags, Floats, Ints, share_of
from cohorts.records.synthetic.plants.declared import Group, Plants, Subtypes, Treatment, known_drugs
from cohorts.records.synthetic.stays import DAY, Stays, features_of_stays

FILE = "PLANTED.json"  # no code of the product reads it


class Planting:
    """What is planted in a hospital, and who it falls upon; without plants it changes nothing."""

    def __init__(self, plants: Plants, seed: int, first: int, patients: int) -> None:
        self.plants, self._seed = plants, seed
        rng = np.random.default_rng([seed, crc32(b"rare")])
        many = [min(one.patients, patients) for one in plants.rare]
        self.rare = [first + np.sort(rng.choice(patients, some, replace=False)) for some in many]
        self.new_drugs = _new([*self._drugs()], known_drugs())
        diagnoses = [one.diagnoses for one in plants.reaction] + [one.diagnoses for one in plants.rare]
        self.titles = {code: title for some in diagnoses for code, title in some.items()}

    def lasting(self, features: Floats, patients: Ints) -> None:
        """Give rare patients what they have for life and in every stay, before the rest is drawn."""
        for one, who in zip(self.plants.rare, self.rare, strict=True):
            for name in one.conditions:
                features[np.isin(patients, who), features_of_stays().index(name)] = 1

    conditions = lasting  # and again afterwards: what comes and goes was drawn in between

    def death(self, features: Floats, stays: Ints) -> Floats:
        """Return what treatments and kinds add to the log odds of death."""
        added = np.zeros(len(stays))
        for treatment in self.plants.treatment:
            treated, inside = self.treated(treatment, features, stays)
            added += treated * np.where(inside, treatment.death_in_group, treatment.death_elsewhere)
        for one in self.plants.subtypes:
            kind = self.kind(one, features, stays // 10)
            added += np.array([*(each.death for each in one.types), 0.0])[kind]
        return added

    def days(self, features: Floats, patients: Ints) -> Floats:
        """Return by what the length of each stay is multiplied."""
        factor = np.ones(len(patients))
        for one in self.plants.subtypes:
            factor *= np.array([*(each.days for each in one.types), 1.0])[self.kind(one, features, patients)]
        return factor

    def treated(self, one: Treatment, features: Floats, stays: Ints) -> tuple[Flags, Flags]:
        """Return which stays get a treatment's drug by it, and which are in its sub-group; both of its condition."""
        has = _has(features, one.condition)
        severity = features[:, PERSON.index("severity")]
        given = np.clip(one.given, 1e-9, 1 - 1e-9)
        chance = share_of(np.log(given / (1 - given)) + one.given_by_severity * severity)
        return has & (self.lots(one.name, stays) < chance), has & _in_group(one.group, features)

    def kind(self, one: Subtypes, features: Floats, patients: Ints) -> Ints:
        """Return of which type each is, by patient; -1 without the condition."""
        upper = np.cumsum([each.share for each in one.types])
        kind = np.minimum(np.searchsorted(upper, self.lots(one.name, patients), side="right"), len(upper) - 1)
        return np.where(_has(features, one.condition), kind, -1)

    def lots(self, name: str, keys: Ints) -> Floats:
        """Return one number from 0 to 1 for each key: a hash (splitmix64)."""
        with np.errstate(over="ignore"):
            mixed = keys.astype(np.uint64) + np.uint64(crc32(f"{self._seed}/{name}".encode()) << 32)
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / 2.0**53

    def _drugs(self) -> list[str]:
        plants = self.plants
        named = [one.drug for one in plants.treatment] + [one.drug for one in plants.reaction]
        named += [drug for one in plants.subtypes for each in one.types for drug in each.drugs]
        return named + [drug for one in plants.rare for drug in one.drugs]


@dataclass
class Planted:
    """What was planted in the stays of one block."""

    planting: Planting
    stays: Stays
    treated: list[tuple[Flags, Flags]] = field(default_factory=list)
    kinds: list[Ints] = field(default_factory=list)
    rare: list[Flags] = field(default_factory=list)
    reacted: list[Ints] = field(default_factory=list)  # when; -1 for those who don't
    first_dose: list[Ints] = field(default_factory=list)

    def __post_init__(self) -> None:
        plants, stays = self.planting.plants, self.stays
        self.treated = [self.planting.treated(one, stays.features, stays.number) for one in plants.treatment]
        self.kinds = [self.planting.kind(one, stays.features, stays.patient) for one in plants.subtypes]
        self.rare = [np.isin(stays.patient, who) for who in self.planting.rare]

    def drugs(self, given: Flags) -> Flags:
        """Return (n, drugs + new drugs): what is given with all that is planted."""
        plants, stays = self.planting.plants, self.stays
        names = [*known_drugs(), *self.planting.new_drugs]
        given = np.hstack([given, np.zeros((len(stays), len(self.planting.new_drugs)), dtype=bool)])
        for one, kind in zip(plants.subtypes, self.kinds, strict=True):
            for place, each in enumerate(one.types):
                for drug, share in each.drugs.items():
                    mine = self.planting.lots(f"{one.name}/{drug}", stays.number) < share
                    column = names.index(drug)
                    given[:, column] = np.where(kind == place, mine, given[:, column])
        for reaction in plants.reaction:
            if reaction.given is not None:
                may = (
                    _has(stays.features, reaction.condition)
                    if reaction.condition
                    else np.ones(len(stays), dtype=bool)
                )
                given[:, names.index(reaction.drug)] |= may & (
                    self.planting.lots(f"{reaction.name}/given", stays.number) < reaction.given
                )
        for rare, mine in zip(plants.rare, self.rare, strict=True):
            for drug in rare.drugs:
                given[mine, names.index(drug)] = True
        for treatment, (treated, _) in zip(plants.treatment, self.treated, strict=True):
            column = names.index(treatment.drug)
            has = _has(stays.features, treatment.condition)
            given[:, column] = np.where(has, treated, given[:, column])
        return given

    def react(self, first_doses: Mapping[str, Ints]) -> None:
        """Draw who reacts and when, by the times of first doses (-1: none) of every drug that reactions name."""
        for one in self.planting.plants.reaction:
            first = first_doses[one.drug]
            wait = one.days[0] + (one.days[1] - one.days[0]) * self.planting.lots(
                f"{one.name}/days", self.stays.number
            )
            when = first + (wait * DAY).astype(np.int64) // 60 * 60
            chance = self.planting.lots(f"{one.name}/chance", self.stays.number) < one.chance
            self.first_dose.append(first)
            self.reacted.append(np.where((first >= 0) & chance & (when < self.stays.discharged), when, -1))

    def factor(self, item: str, rows: Ints, times: Ints) -> Floats | float:
        """Return by what a laboratory item's values are multiplied, at times of the stays at `rows`."""
        factor: Floats | float = 1.0
        for one, kind in zip(self.planting.plants.subtypes, self.kinds, strict=True):
            factor = factor * np.array([*(each.labs.get(item, 1.0) for each in one.types), 1.0])[kind[rows]]
        for rare, mine in zip(self.planting.plants.rare, self.rare, strict=True):
            factor = factor * np.where(mine[rows], rare.labs.get(item, 1.0), 1.0)
        for reaction, when in zip(self.planting.plants.reaction, self.reacted, strict=True):
            after = (when[rows] >= 0) & (times >= when[rows])
            factor = factor * np.where(after, reaction.labs.get(item, 1.0), 1.0)
        return factor

    def measured(self, item: str) -> Flags:
        """Return the stays in which a laboratory item must be measured for what is planted to show."""
        wanted = np.zeros(len(self.stays), dtype=bool)
        for rare, mine in zip(self.planting.plants.rare, self.rare, strict=True):
            wanted |= mine & (item in rare.labs)
        for reaction, when in zip(self.planting.plants.reaction, self.reacted, strict=True):
            wanted |= (when >= 0) & (item in reaction.labs)
        return wanted

    def diagnoses(self) -> tuple[Ints, list[str]]:
        """Return the stays with planted diagnoses, and the codes."""
        rows: list[int] = []
        written: list[str] = []
        for rare, mine in zip(self.planting.plants.rare, self.rare, strict=True):
            for row in np.flatnonzero(mine).tolist():
                rows += [row] * len(rare.diagnoses)
                written += rare.diagnoses
        for reaction, when in zip(self.planting.plants.reaction, self.reacted, strict=True):
            for row in np.flatnonzero(when >= 0).tolist():
                rows += [row] * len(reaction.diagnoses)
                written += reaction.diagnoses
        return np.array(rows, dtype=np.int64), written

    def words(self, row: int, time: int) -> list[str]:
        """Return what is said of a stay because of a plant, at a time."""
        said: list[str] = []
        for one, kind in zip(self.planting.plants.subtypes, self.kinds, strict=True):
            said += one.types[kind[row]].words if kind[row] >= 0 else []
        for rare, mine in zip(self.planting.plants.rare, self.rare, strict=True):
            said += rare.words if mine[row] else []
        for reaction, when in zip(self.planting.plants.reaction, self.reacted, strict=True):
            said += reaction.words if 0 <= when[row] <= time else []
        return said


class Truth:
    """What was planted, gathered over the blocks: ids of stays (HADM_ID) and patients, and the deaths of each group."""

    def __init__(self, planting: Planting) -> None:
        self._planting = planting
        self._found: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(list))
        self._counts: dict[str, dict[str, list[int]]] = defaultdict(dict)

    def add(self, planted: Planted) -> None:
        """Take up one block."""
        stays, plants = planted.stays, self._planting.plants
        for treatment, (treated, inside) in zip(plants.treatment, planted.treated, strict=True):
            has = stays.has(treatment.condition)
            for place, there in (("in_group", inside), ("elsewhere", has & ~inside)):
                for how, some in (("treated", there & treated), ("untreated", there & ~treated)):
                    self._add(treatment.name, f"{place}_{how}", stays, some)
        for reaction, first, when in zip(plants.reaction, planted.first_dose, planted.reacted, strict=True):
            self._add(reaction.name, "reacted", stays, when >= 0)
            self._add(reaction.name, "exposed", stays, first >= 0)
            rows = np.flatnonzero(when >= 0)
            days = ((when - first)[rows] / DAY).round(2).tolist()
            self._found[reaction.name]["days_after_first_dose"] += days
        for one, kind in zip(plants.subtypes, planted.kinds, strict=True):
            for number, each in enumerate(one.types):
                self._add(one.name, each.name, stays, kind == number)
                patients = np.unique(stays.patient[kind == number]).tolist()
                self._found[one.name][f"{each.name}_patients"] += patients
        for rare, mine in zip(plants.rare, planted.rare, strict=True):
            self._add(rare.name, "stays", stays, mine)

    def write(self, folder: Path) -> None:
        """Write what was planted to the hospital's folder, for its owner alone."""
        plants = self._planting.plants
        told: dict[str, list[dict[str, Any]]] = {
            kind: [self._told(one) for one in getattr(plants, kind)]
            for kind in ("treatment", "reaction", "subtypes", "rare")
        }
        for one, who in zip(told["rare"], self._planting.rare, strict=True):
            one["patients"] = who.tolist()
        write_private(folder / FILE, json.dumps({"synthetic": True, **told}, indent=1) + "\n")

    def _told(self, one: Any) -> dict[str, Any]:
        return {
            "name": one.name,
            "planted": asdict(one),
            "counts": {
                group: {"stays": many, "died": died} for group, (many, died) in self._counts[one.name].items()
            },
            "found": self._found[one.name],
        }

    def _add(self, name: str, group: str, stays: Stays, some: Flags) -> None:
        self._found[name][group] += stays.number[some].tolist()
        count = self._counts[name].setdefault(group, [0, 0])
        count[0] += int(some.sum())
        count[1] += int(stays.died[some].sum())


def _has(features: Floats, condition: str) -> Flags:
    return features[:, features_of_stays().index(condition)] > 0


def _in_group(group: Group, features: Floats) -> Flags:
    inside = np.ones(len(features), dtype=bool)
    for name in group.has:
        inside &= _has(features, name)
    for name in group.lacks:
        inside &= ~_has(features, name)
    age = 65 + 10 * features[:, PERSON.index("age")]
    if group.over is not None:
        inside &= age > group.over
    if group.under is not None:
        inside &= age < group.under
    if group.sex is not None:
        inside &= (features[:, PERSON.index("female")] > 0) == (group.sex == "F")
    return inside


def _new(named: Sequence[str], known: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(named) if name not in known]
