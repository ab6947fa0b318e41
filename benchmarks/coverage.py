"""How often 95 % intervals cover the truth: a treatment planted in synthetic hospitals, of which only who came and how
it ended is drawn, one hospital for each seed.

Run by `make bench-ours`, or `PYTHONPATH=tests python benchmarks/coverage.py [--seeds 1000]`; it needs no server.
The cohort is the first stay with sepsis of each patient, so rows are independent; nothing is treated before it. The
drug of docs/synthetic.md is given to half of them by lot, so treated and untreated differ by chance and the treatment
alone: what is asked is the risk with and without it *in this stay*, later stays being treated by lot as they are.
Truth is a sample of other seeds, followed without end, so large that its own error is a twentieth of an estimate's.
The hospitals are followed to a day drawn evenly and apart from all else: from admission up to 500 days (a quarter is
still seen on day 365), from discharge up to 60.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pool
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.measures.competing import aalen_johansen
from cohorts.measures.intervals import Estimate
from cohorts.measures.shares import complement, difference, share_at, wilson
from cohorts.measures.survival import kaplan_meier, restricted_mean
from cohorts.records.synthetic.hospital import FIRST_PATIENT, GENERATOR_VERSION
from cohorts.records.synthetic.network import Streams
from cohorts.records.synthetic.patients import invent
from cohorts.records.synthetic.plants.declared import Group, Plants, Treatment
from cohorts.records.synthetic.plants.planting import Planting
from cohorts.records.synthetic.stays import DAY

STEROIDS = Treatment(
    name="steroids of the old",
    condition="sepsis",
    drug="Hydrocortisone Na Succ.",
    given=0.5,
    group=Group(over=65, lacks=["cirrhosis"]),
    death_in_group=-1.5,
)
SIZES = (300, 1_000, 5_000)  # patients of a hospital; a third has sepsis at some time
FEW = 11  # events: fewer are not shown by `cohorts compare`
TRUTH, AT_ONCE, OTHER_SEEDS = 4_000_000, 20_000, 1_000_000
DAYS, FOLLOWED, FOLLOWED_HOME = (30, 90, 365), 500, 60
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Found(NamedTuple):
    """What was estimated, and of how many events that were seen."""

    estimate: Estimate
    events: int


Estimates = dict[str, Found]


@dataclass(frozen=True)
class Course:
    """What became of some patients, (n,) each: days from admission to death, from discharge to return and to death.

    Infinite is never; those who died in the stay have no figure from discharge on.
    """

    died_inside: Flags
    death: Values
    back: Values
    death_at_home: Values

    def of(self, rows: Flags) -> "Course":
        """Return some of them."""
        return Course(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def hospital(seed: int, patients: int) -> tuple[Course, Course]:
    """Draw a hospital; return its treated and its untreated, by the first stay with sepsis."""
    planting = Planting(Plants(treatment=[STEROIDS]), seed, FIRST_PATIENT, patients)
    streams = Streams(GENERATOR_VERSION, seed, FIRST_PATIENT)
    people, stays = invent(streams, FIRST_PATIENT, patients, planting)
    mine = np.flatnonzero(stays.has(STEROIDS.condition))
    first = mine[np.unique(stays.patient[mine], return_index=True)[1]]
    treated = planting.treated(STEROIDS, stays.features, stays.number)[0][first]
    inside, left = stays.died[first], stays.discharged[first]
    dead = people.died[stays.patient[first] - FIRST_PATIENT]
    dead = np.where(dead < 0, np.inf, dead + DAY / 2)  # a day alone is known: noon
    dead = np.where(inside, left, dead)
    follows = np.append(stays.patient, -1)[first + 1] == stays.patient[first]
    back = np.where(follows, np.append(stays.admitted, 0)[first + 1], np.inf)
    course = Course(
        inside,
        (dead - stays.admitted[first]) / DAY,
        np.where(inside, np.nan, back - left) / DAY,
        np.where(inside, np.nan, dead - left) / DAY,
    )
    return course.of(treated), course.of(~treated)


def estimates(course: Course, rng: np.random.Generator) -> Estimates:
    """Return what is estimated of a group that is followed for a while, with intervals."""
    n, inside = len(course.death), int(course.died_inside.sum())
    followed = rng.uniform(0, FOLLOWED, n)
    alive = kaplan_meier(np.minimum(course.death, followed), course.death <= followed)
    made = {"death in hospital": Found(wilson(inside, n), inside)}
    for day in DAYS:
        events = int(alive.until(day).events.sum())
        made[f"death by day {day}"] = Found(complement(share_at(alive, day)), events)
        made[f"death by day {day}, band"] = Found(complement(alive.at(day)), events)
        made[f"mean days alive of {day}"] = Found(restricted_mean(alive, day), events)
    home = course.of(~course.died_inside)
    held = rng.uniform(0, FOLLOWED_HOME, len(home.back))
    ended = np.minimum(home.back, home.death_at_home)
    kinds = np.where(ended > held, 0, np.where(home.back <= home.death_at_home, 1, 2))
    incidence = aalen_johansen(np.minimum(ended, held), kinds)
    events = int(incidence.until(30).events.sum())
    made["back by day 30"] = Found(share_at(incidence, 30), events)
    made["back by day 30, band"] = Found(incidence.at(30), events)
    return made


def true_of(course: Course) -> Mapping[str, float]:
    """Return what the same comes to among patients who are followed without end."""
    told = {"death in hospital": course.died_inside.mean()}
    for day in DAYS:
        share = (course.death <= day).mean()
        told |= {f"death by day {day}": share, f"death by day {day}, band": share}
        told[f"mean days alive of {day}"] = np.minimum(course.death, day).mean()
    home = course.of(~course.died_inside)
    share = ((home.back <= 30) & (home.back <= home.death_at_home)).mean()
    return {**told, "back by day 30": share, "back by day 30, band": share}


def true_part(seed: int) -> tuple[int, int, Mapping[str, float], Mapping[str, float]]:
    """Return how many are treated and not in a part of the sample that is the truth, and what is so of them."""
    treated, untreated = hospital(OTHER_SEEDS + seed, AT_ONCE)
    return len(treated.death), len(untreated.death), true_of(treated), true_of(untreated)


def one_seed(task: tuple[int, int]) -> tuple[int, Estimates]:
    """Return how many are treated, and all estimates: of the treated, the untreated, and their difference."""
    seed, patients = task
    treated, untreated = hospital(seed, patients)
    rng = np.random.default_rng([seed, patients])
    first, second = estimates(treated, rng), estimates(untreated, rng)
    made = {f"{name}, treated": one for name, one in first.items()}
    made |= {f"{name}, untreated": one for name, one in second.items()}
    for name, one in first.items():
        if not name.endswith("band"):
            other = second[name]
            apart = difference(one.estimate, other.estimate)
            made[f"{name}, difference"] = Found(apart, min(one.events, other.events))
    return len(treated.death), made


def covered(truth: Mapping[str, float], found: list[Estimates]) -> Iterator[str]:
    """Yield a row of the table for everything that was estimated."""
    for name in sorted(found[0], key=lambda name: (name.rpartition(", ")[0], name)):
        true, told = truth[name], np.array([made[name].estimate for made in found])
        events = np.mean([made[name].events for made in found])
        there = ~np.isnan(told[:, 1])
        value, low, high = told[there].T
        share = wilson(int(((low <= true) & (true <= high)).sum()), len(value))
        verdict = "few" if events < FEW else "" if 0.93 <= share.value <= 0.97 else "outside"
        yield (
            f"| {name} | {true:.4g} | {value.mean():.4g} | {events:.0f} | {np.mean(high - low):.3g} "
            f"| {share.value:.3f} ({share.low:.3f} to {share.high:.3f}) | {np.mean(true > high):.3f} "
            f"| {np.mean(true < low):.3f} | {len(told) - len(value)} | {verdict} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="hospitals of each size")
    given = parser.parse_args()
    os.nice(10)
    with Pool(2) as pool:
        parts = pool.map(true_part, range(TRUTH // AT_ONCE))
        truth: dict[str, float] = {}
        for name in parts[0][2]:
            one = float(np.average([part[2][name] for part in parts], weights=[part[0] for part in parts]))
            other = float(np.average([part[3][name] for part in parts], weights=[part[1] for part in parts]))
            truth |= {
                f"{name}, treated": one,
                f"{name}, untreated": other,
                f"{name}, difference": one - other,
            }
        for patients in SIZES:
            done = pool.map(one_seed, [(seed, patients) for seed in range(given.seeds)], chunksize=10)
            n = np.mean([many for many, _ in done])
            print(
                f"\n{given.seeds} synthetic hospitals of {patients} patients, {n:.0f} treated in the mean\n"
            )
            print(
                "| estimate | truth | mean | events | width | covers | truth above | below | no interval | |"
            )
            print("|---|---|---|---|---|---|---|---|---|---|")
            print(*covered(truth, [made for _, made in done]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
