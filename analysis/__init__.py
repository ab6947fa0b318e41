"""What a retrieved cohort means."""

from typing import TYPE_CHECKING

from cohorts.lazy import lazy_names

__all__ = ["Words", "word_shares"]

if TYPE_CHECKING:
    from cohorts.analysis.words import Words, word_shares
else:
    __getattr__, __dir__ = lazy_names(__name__, {"cohorts.analysis.words": __all__})
