"""Why a unit's vector is what it is, as its payload keeps it: `diagnosis:heart_failure=12.4`, the strongest first."""

from collections.abc import Iterable, Sequence

from cohorts.connectors.base import Payload

_CODES = ("diagnosis:", "procedure:", "drug:", "lab:")  # of reasons; others are kinds of notes


def reasons_of(payload: Payload) -> dict[str, float] | None:
    """Return the reasons that a payload holds and their degrees, strongest first; None where it holds none."""
    kept = payload.get("reasons")
    if not isinstance(kept, list):
        return None
    try:
        return {name: float(degrees) for name, _, degrees in (str(one).rpartition("=") for one in kept)}
    except ValueError:  # a key of this name that is no explanation: it came with vectors of others
        return None


def codes_of(payloads: Iterable[Payload]) -> list[str]:
    """Return the codes among the reasons of units, as diagnosis:heart_failure, the strongest in any of them first."""
    weights: dict[str, float] = {}
    for payload in payloads:
        for name, degrees in (reasons_of(payload) or {}).items():
            if name.startswith(_CODES):
                weights[name] = max(degrees, weights.get(name, 0.0))
    return sorted(weights, key=lambda name: -weights[name])


def shared_codes(asked: Sequence[str], payload: Payload) -> list[str] | None:
    """Return which of some codes stand among the reasons of a unit, in their order; None where it keeps no reasons."""
    reasons = reasons_of(payload)
    return None if reasons is None else [code for code in asked if code in reasons]
