"""Screen the patients of a collection: criteria by the events kept beside it, order by the collection's own encoder."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.recruit.funnel import MIN_CELL, funnel
from cohorts.analysis.recruit.judging import MET, NOT_MET, UNKNOWN, WORDS, Judged, judge
from cohorts.analysis.recruit.profile import INCLUDE, Profile
from cohorts.analysis.recruit.ranking import nearness
from cohorts.analysis.recruit.records import People, Records
from cohorts.analysis.recruit.recruited import Candidate, Recruited, Verdict
from cohorts.analysis.saved.cohort import Place
from cohorts.analysis.saved.members import open_events
from cohorts.search.neighbours import records_seen

if TYPE_CHECKING:
    from cohorts.connectors.collection import Collection

NEAR_MISS_OF = 3  # criteria to include by, of which a patient who is still listed may miss one


def recruit(
    place: Place, profile: Profile, *, k: int = 20, as_of: date | None = None, min_cell: int = MIN_CELL
) -> Recruited:
    """Return the k patients who meet a profile best, and what each criterion costs.

    Who meets what to exclude by is left out, and so is who does not meet what to include by: but where fewer than k are
    left, those follow who miss one of at least three criteria. Of whom the records can't tell stays, behind those of
    whom they can.

    Raises InputError where no events were kept, or a value stands in several units.
    """
    collection = place.describe().collection
    records = Records(open_events(collection, place.run_dir), place.connector, place.name, as_of)
    people = records.people
    criteria = profile.criteria
    judged = judge(records, place.connector, place.name, [one for _, one in criteria])
    fails = [
        one.status == (NOT_MET if role == INCLUDE else MET)
        for (role, _), one in zip(criteria, judged, strict=True)
    ]
    open_ = [one.status == UNKNOWN for one in judged]
    screened, steps = funnel([(role, one.label) for role, one in criteria], fails, open_, min_cell)
    missed, unknown = _many(fails[: len(profile.include)], people), _many(open_, people)
    excluded = _many(fails[len(profile.include) :], people) > 0
    left = _listed(missed, excluded, k, len(profile.include))
    scores: dict[int, float] = {}
    if profile.text.strip():
        (vector,) = place.encoder().encode_text([profile.text])
        scores = nearness(place.connector, place.name, people, left, vector)
    ranked = sorted(left, key=lambda at: (missed[at], unknown[at], -scores.get(at, -2.0), people.ids[at]))[:k]
    return Recruited(
        title=profile.title,
        collection=place.name,
        candidates=tuple(
            Candidate(
                str(people.ids[at]),
                int(missed[at]),
                int(unknown[at]),
                scores.get(at),
                _verdicts(profile, judged, at),
            )
            for at in ranked
        ),
        screened=screened,
        funnel=tuple(steps),
        as_of=as_of,
        synthetic=bool(collection.metadata.get("synthetic")),
        notes=tuple(_notes(collection, profile, people, as_of)),
        wanted=profile.text.strip() or " ".join(one.label.replace("_", " ") for one in profile.include),
    )


def _many(marks: Sequence[npt.NDArray[np.bool_]], people: People) -> npt.NDArray[np.int64]:
    """Return how many marks each patient has, (n,)."""
    return np.sum(marks, axis=0, dtype=np.int64) if marks else np.zeros(len(people), np.int64)


def _listed(
    missed: npt.NDArray[np.int64], excluded: npt.NDArray[np.bool_], k: int, criteria: int
) -> list[int]:
    """Return the patients to rank: who misses nothing, and, where these are fewer than k, who misses one of several."""
    most = int(criteria >= NEAR_MISS_OF and np.sum((missed == 0) & ~excluded) < k)
    return np.flatnonzero((missed <= most) & ~excluded).tolist()


def _verdicts(profile: Profile, judged: Sequence[Judged], at: int) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(
            criterion.label,
            role,
            WORDS[int(one.status[at])],
            one.words[one.what[at]] if one.what[at] >= 0 else "",
            None if np.isnan(one.value[at]) else float(one.value[at]),
            "" if np.isnan(one.value[at]) else one.unit,
            None if np.isnat(one.time[at]) else pd.Timestamp(one.time[at]).to_pydatetime(),
        )
        for (role, criterion), one in zip(profile.criteria, judged, strict=True)
    )


def _notes(collection: "Collection", profile: Profile, people: People, as_of: date | None) -> list[str]:
    notes = []
    if not len(people):
        notes.append("no patient of the collection has an admission that counts")
    if as_of is not None and profile.text.strip():
        notes.append(
            f"the order is by vectors of {records_seen(collection)}, which may know what came after {as_of}"
        )
    if as_of is not None and any(one.where for _, one in profile.criteria):
        notes.append(f"filters read what the collection holds, which may be of after {as_of}")
    return notes
