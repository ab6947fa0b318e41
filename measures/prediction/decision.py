"""Whether acting on a prediction does more good than acting on all or on none.

Source: Vickers and Elkin, 2006, Decision curve analysis: a novel method for evaluating prediction models.
"""

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import Values
from cohorts.measures.prediction.outcomes import checked


def net_benefit(outcome: npt.ArrayLike, probability: npt.ArrayLike, thresholds: npt.ArrayLike) -> Values:
    """Return the net benefit of treating those with a probability of a threshold and more, for each of them, (t,).

    It is the share treated rightly, less that treated wrongly, times the odds of the threshold: how many treated in
    vain one who is treated rightly is worth. Treating none has 0. Raises InputError for a threshold that is not above
    0 and below 1.
    """
    happened, told = checked(outcome, probability)
    asked = np.asarray(thresholds, np.float64)
    if not ((asked > 0) & (asked < 1)).all():
        raise InputError("A threshold of a decision curve is a probability above 0 and below 1.")
    rightly, wrongly = (
        len(own) - np.searchsorted(np.sort(own), asked, side="left")
        for own in (told[happened], told[~happened])
    )
    made: Values = (rightly - wrongly * asked / (1 - asked)) / len(told)
    return made


def treat_all(outcome: npt.ArrayLike, thresholds: npt.ArrayLike) -> Values:
    """Return the net benefit of treating everybody at each threshold, (t,)."""
    return net_benefit(outcome, np.ones(len(np.asarray(outcome))), thresholds)
