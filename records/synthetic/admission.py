"""A stay that is invented."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Admission:
    """One invented stay: what the patient has, how ill, when, and how it ended."""

    patient: int
    number: int
    admitted: datetime
    discharged: datetime
    principal: str
    others: tuple[str, ...]
    background: tuple[str, ...]  # codes of chronic conditions
    severe: bool
    died: bool
    age: int
    sex: str
