"""Time to an event when something else may come first: after death, nobody is readmitted."""

import numpy as np
import numpy.typing as npt
from cohorts.measures.survival import Curve, curve_of, greenwood, tally


def aalen_johansen(durations: npt.ArrayLike, kinds: npt.ArrayLike) -> Curve:
    """Return the share to which the event has come, of kind 1, when kinds of 2 and more end the waiting for it.

    `durations` is (n,) days, `kinds` (n,) int, 0: censored. Not one less Kaplan-Meier's: that takes the dead for
    censored, as if they could still have the event. Without a competing kind it is the same, with the same variance.
    The variance is the delta method's (Dinse and Larson, equation 6; `var_type="Dinse_Approx"` of scikit-survival),
    without censoring p (1 - p) / n; the band that of log(-log F), and Wilson's at 0. Raises InputError for durations
    that can't be.
    Source: Aalen and Johansen, 1978; Dinse and Larson, 1986, A note on semi-Markov models for partially censored data.
    """
    found = tally(durations, kinds)
    n, endings = found.at_risk, found.events + found.competing
    free = np.cumprod(1 - endings / n)
    before = np.concatenate([[1.0], free[:-1]])  # without any ending just before the time
    alone = found.competing.cumsum() == 0  # so far: then the share is exactly 1 where it is 1
    share = np.where(alone, 1 - free, np.cumsum(before * found.events / n))
    # Of the sum over times k up to t of (F_t - F_k)² g_k - 2 (F_t - F_k) c_k + b_k all sums run on their own.
    g, c = greenwood(endings, n), before * found.events / n**2
    b = before * c * (n - found.events) / n
    variance = share**2 * g.cumsum() - 2 * share * (share * g + c).cumsum()
    variance += (share**2 * g + 2 * share * c + b).cumsum()
    return curve_of(found, share, np.maximum(variance, 0))
