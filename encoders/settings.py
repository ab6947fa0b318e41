"""What the settings of encoders are checked by."""

from collections.abc import Sequence

from cohorts.errors import EncoderError


def one_of(encoder: str, settings: object, **allowed: Sequence[str]) -> None:
    """Raise EncoderError where a setting is none of the values that are allowed for it."""
    for name, values in allowed.items():
        value = getattr(settings, name)
        if value not in values:
            raise EncoderError(f"{encoder} {name} is {value!r}; it is one of {', '.join(values)}.")


def at_least_one(encoder: str, settings: object, *names: str) -> None:
    """Raise EncoderError where one of these settings is below 1."""
    for name in names:
        value = getattr(settings, name)
        if value < 1:
            raise EncoderError(f"{encoder} {name} is {value}; it must be at least 1.")
