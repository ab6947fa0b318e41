"""A source cut for a job array: shard i of n holds the patients whose hashed id falls to it, on every machine."""

import re
import zlib
from typing import NamedTuple

from cohorts.errors import InputError


class Shard(NamedTuple):
    """One of `many` shards, numbered from 1."""

    number: int
    many: int

    def __str__(self) -> str:
        return f"{self.number}/{self.many}"

    def holds(self, patient_id: str) -> bool:
        """Tell whether a patient belongs to it."""
        return shard_of(patient_id, self.many) == self.number


class Named(frozenset[str]):
    """Some patients, by their ids: all that is read of a source."""

    def holds(self, patient_id: str) -> bool:
        """Tell whether a patient is one of them."""
        return patient_id in self


def parse_shard(text: str) -> Shard:
    """Return the shard of `i/n`. Raises InputError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"{text!r} is no shard: write i/n with i from 1 to n, as in 2/4.")
    return Shard(int(match[1]), int(match[2]))


def shard_of(patient_id: str, many: int) -> int:
    """Return the number of the shard that a patient belongs to."""
    return zlib.crc32(patient_id.encode()) % many + 1
