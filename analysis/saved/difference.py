"""Two cohorts beside each other: who is in both, and who in one alone."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Difference:
    """The patients of cohort `a` and of `b`: in both, in one alone, each in the order of its cohort.

    After a refresh `a` is what the cohort was and `b` what it is now: `only_a` went, and `only_b` came. `notes` say how
    the two were found otherwise.
    """

    a: str
    b: str
    both: tuple[str, ...] = field(repr=False)
    only_a: tuple[str, ...] = field(repr=False)
    only_b: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def overlap(self) -> float:
        """Return the share of the patients of either that are in both, from 0 to 1 (Jaccard); 1 of nobody."""
        every = len(self.both) + len(self.only_a) + len(self.only_b)
        return len(self.both) / every if every else 1.0

    def __repr__(self) -> str:
        """Return how many, and no patient."""
        return (
            f"<Difference {self.a} and {self.b}: {len(self.both):,} in both, {len(self.only_a):,} only in {self.a}, "
            f"{len(self.only_b):,} only in {self.b}>"
        )


def difference(
    a: tuple[str, tuple[str, ...]], b: tuple[str, tuple[str, ...]], notes: tuple[str, ...] = ()
) -> Difference:
    """Return how two named lists of patients differ."""
    (name_a, in_a), (name_b, in_b) = a, b
    set_a, set_b = set(in_a), set(in_b)
    return Difference(
        name_a,
        name_b,
        tuple(one for one in in_a if one in set_b),
        tuple(one for one in in_a if one not in set_b),
        tuple(one for one in in_b if one not in set_a),
        notes,
    )
