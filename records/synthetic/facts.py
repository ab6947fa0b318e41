"""What the writer of a stay's notes knows of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
from cohorts.records.synthetic.network import PERSON, Floats, Streams, Things, parameters
from cohorts.records.synthetic.orders import Orders, drugs
from cohorts.records.synthetic.plants.planting import Planted
from cohorts.records.synthetic.stays import Stays, conditions, features_of_stays

KINDS = ("complaints", "exam", "radiology", "ecg", "echo", "care")
ILL = 1.5  # standard deviations of severity beyond which notes call the patient very ill

Phrases = Sequence[str]
Values = Mapping[
    str, Floats
]  # by item: (2, stays), early and late in the stay, NaN where nothing was measured


@dataclass(frozen=True)
class Facts:
    """One stay: what was found and denied by kind, what it has (as it is called), what was ordered and measured."""

    patient: int
    number: int
    admitted: datetime
    discharged: datetime
    died: bool
    severe: bool
    age: int
    sex: str
    present: Mapping[str, Sequence[Phrases]]
    absent: Mapping[str, Phrases]
    acute: Sequence[Phrases]
    chronic: Sequence[Phrases]
    others: Sequence[Phrases]  # what other stays have
    spoken: Sequence[Phrases]
    medications: Phrases
    values: tuple[Mapping[str, float], Mapping[str, float]]
    planted: Callable[[datetime], Sequence[str]]

    def values_at(self, when: datetime) -> Mapping[str, float]:
        """Return what was measured last by then: early or late in the stay."""
        return self.values[when > self.admitted + (self.discharged - self.admitted) / 2]


def facts_of(
    streams: Streams, stays: Stays, orders: Orders, planted: Planted, values: Values
) -> Iterator[Facts]:
    """Yield the facts of every stay."""
    rng = streams("findings")
    found = {kind: findings(kind).draw(rng, stays.features) for kind in KINDS}
    severe = stays.severity > ILL + rng.normal(0, 0.3, len(stays))
    severe |= stays.died & (rng.random(len(stays)) < 0.6)
    has = stays.features[:, len(PERSON) :] > 0
    called: list[Phrases] = [one.get("called", ()) for one in conditions().about]
    chronic = len(parameters("conditions")["chronic"])
    spoken, medications = _drugs(planted)
    others = [names for names in called if names]
    times = np.stack([stays.admitted, stays.discharged], axis=1).astype("datetime64[s]").tolist()
    epoch = datetime(1970, 1, 1)
    for row, (admitted, discharged) in enumerate(times):
        there = np.flatnonzero(has[row]).tolist()
        given = np.flatnonzero(orders.given[row]).tolist()
        yield Facts(
            patient=int(stays.patient[row]),
            number=int(stays.number[row]),
            admitted=admitted,
            discharged=discharged,
            died=bool(stays.died[row]),
            severe=bool(severe[row]),
            age=int(stays.age[row]),
            sex="F" if stays.female[row] else "M",
            present={kind: _said(kind, found[kind][row].nonzero()[0].tolist()) for kind in KINDS},
            absent={
                kind: _denied(kind, (~found[kind][row]).nonzero()[0].tolist())
                for kind in ("complaints", "radiology")
            },
            acute=[called[place] for place in there if place >= chronic and called[place]],
            chronic=[called[place] for place in there if place < chronic and called[place]],
            others=others,
            spoken=[spoken[place] for place in given if spoken[place]],
            medications=[medications[place] for place in given],
            values=(_values(values, 0, row), _values(values, 1, row)),
            planted=lambda when, row=row: planted.words(row, int((when - epoch).total_seconds())),  # type: ignore[misc]
        )


@cache
def findings(kind: str) -> Things:
    """Return the findings of a kind."""
    return Things(parameters("words")[kind], features_of_stays())


def _said(kind: str, places: Sequence[int]) -> list[Phrases]:
    about = findings(kind).about
    return [about[place]["says"] for place in places]


def _denied(kind: str, places: Sequence[int]) -> list[str]:
    about = findings(kind).about
    return [phrase for place in places for phrase in about[place].get("denies", ())]


def _drugs(planted: Planted) -> tuple[list[Phrases], list[str]]:
    """Return what notes call every drug, and how lists of medications write it; planted ones by their name."""
    new = planted.planting.new_drugs
    spoken = [one.get("said", []) for one in drugs().about] + [[name] for name in new]
    written = [
        f"{name.strip()} {one['dose']} {one['unit']} {one['route']}"
        for name, one in zip(drugs().names, drugs().about, strict=True)
    ]
    return spoken, [*written, *new]


def _values(values: Values, part: int, row: int) -> dict[str, float]:
    return {name: value for name, both in values.items() if (value := float(both[part, row])) == value}
