"""Every error that `cohorts` raises on purpose.

The tree::

    CohortsError
    ├── InputError                 what the user gave can't be used            (exit code 2)
    │   ├── SourceError            a table or a column is missing or mangled
    │   │   └── TooManyBadRows     the share of quarantined rows is above the limit
    │   ├── EncoderError           an encoder can't be fitted, loaded or used here
    │   │   ├── FingerprintMismatch  the collection was made by another encoder
    │   │   └── CheckpointNotFound   a text model is neither here nor in the cache
    │   ├── FilterError            a filter expression that can't be understood
    │   ├── PointError             an id, a vector or a payload that the engine can't keep
    │   │   └── VectorError        NaN, infinite, zero or wrong-sized vectors
    │   ├── StoreAddressError      a store address that can't be understood
    │   ├── CollectionNotFound
    │   ├── CollectionExists
    │   ├── PatientNotFound
    │   ├── UnsupportedIndex       the engine has no such index
    │   └── MissingExtra           an optional package is not installed
    ├── EngineError                the engine failed or can't be reached       (exit code 1)
    ├── LeakageError               a trained part was about to see what it will be judged by  (exit code 1)
    ├── Unverified                 a collection doesn't hold what was written  (exit code 1)
    ├── MeasurementError           what was measured can't be true             (exit code 1)
    └── Stopped                    ended on request, and can be gone on with   (exit code 130)

A message says what was got, what is allowed, and what to do. It never holds patient text or a secret. What to do is
said in words of the library; where a front end has its own, as options, `hint` names the sentence to put in its place.
"""


class _Hinted(Exception):
    """Facts and, behind them, a remedy; `hint` and `values` let a front end say the remedy in its own words."""

    def __init__(self, facts: str = "", *, remedy: str = "", hint: str = "", **values: object) -> None:
        super().__init__(f"{facts} {remedy}".strip())
        self.facts, self.hint, self.values = facts, hint, values


class CohortsError(_Hinted):
    """Root of the tree; catching it catches all that `cohorts` raises on purpose."""

    exit_code = 1


class CohortsWarning(_Hinted, UserWarning):
    """What a user should know of, and no error."""


class InputError(CohortsError):
    """What the user gave can't be used; the message says what to change."""

    exit_code = 2


class SourceError(InputError):
    """A table, a column or a file of a source is missing or mangled."""


class TooManyBadRows(SourceError):
    """The share of quarantined rows is above the limit."""


class EncoderError(InputError):
    """An encoder can't be fitted, loaded or used as asked."""


class NoText(EncoderError):
    """An encoder reads no text, and one was asked by."""


class FingerprintMismatch(EncoderError):
    """The collection was made by another encoder than the one at hand."""


class CheckpointNotFound(EncoderError):
    """A text model is neither a folder nor in the cache; nothing was tried on the network unless asked for."""


class FilterError(InputError):
    """A filter expression that can't be understood."""


class PointError(InputError):
    """An id, a vector or a payload that the engine can't keep; nothing of the batch was sent."""


class VectorError(PointError):
    """Vectors that no engine may be sent: NaN, infinite, zero, or of the wrong size."""


class StoreAddressError(InputError):
    """A store address that can't be understood."""


class CollectionNotFound(InputError):
    """The store has no collection of this name."""


class CollectionExists(InputError):
    """The store already has a collection of this name."""


class PatientNotFound(InputError):
    """The collection holds no such patient."""


class UnsupportedIndex(InputError):
    """The engine has no such index and nothing may be put in its place."""


class MissingExtra(InputError):
    """An optional package is needed and not installed."""


class EngineError(CohortsError):
    """The vector engine failed or can't be reached."""


class LeakageError(CohortsError):
    """A trained part was about to see units that it will be judged by; nothing was trained."""


class Unverified(CohortsError):
    """A collection doesn't hold what was written to it."""


class VersionMismatch(UserWarning):
    """Client and server are of versions that were not made for each other; a benchmark takes it for an error."""


class MeasurementError(CohortsError):
    """What was measured can't be true, or not of what it is said of; no figure is made from it."""


class Stopped(CohortsError):
    """The user asked to end; what was acknowledged stays, and the run can be resumed."""

    exit_code = 130
