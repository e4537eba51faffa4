"""Whether a guardrail is met more often on the canary than on the concurrent control, at any number of looks."""

import numpy as np
from scipy.special import betaincc, betaln

from monitoring.canary.arms import Floats

DESIGN_SHARE = 0.5
"""Of the users of both arms, the canary has half at every step."""
PRIOR = 3.0
"""The mixture over the canary's share of the events is Beta(3, 1), above the share under the null."""
_SHARE_SLACK = 2.0
"""Standard errors by which the canary's observed share must exceed its design share before it is believed."""


def log_e_value(events_canary: Floats, events_control: Floats, *, share: Floats | float = DESIGN_SHARE) -> Floats:
    """Return the log e-value against "an event is of the canary with chance `share` at most", (...).

    An event is a user who met the guardrail for the first time. Users are assigned by a fair hash, so if the challenger
    changes nothing, each event belongs to the canary with chance one half, independently of all others, whatever the
    users' habits, how often they return and how the traffic swings: the order of events is fixed and only the arms'
    labels are drawn. With k events on the canary and m on the control the likelihood ratio ``(p / share) ** k *
    ((1 - p) / (1 - share)) ** m`` is then a martingale for each p, and so is its mixture over p, drawn from Beta(a, 1)
    above the share:

    ``B(a + k, 1 + m) * P(Beta(a + k, 1 + m) > share) * a / (1 - share ** a) / (share ** k * (1 - share) ** m)``

    where a = 3 leans to the large faults that must be found on few users; for a = 1 the mixture is uniform.

    By Ville's inequality it reaches 1 / alpha with chance alpha at most, over all looks. It is computed in logs: the
    two factors leave the range of floats after about a thousand events.

    Source: Robbins 1970, "Statistical methods related to the law of the iterated logarithm", section 3 (mixtures);
    Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
    section 3 (conjugate mixtures: beta-binomial, one-sided by truncation).

    Args:
        events_canary: Users of the canary with an event, (...).
        events_control: Users of the control with an event, (...).
        share: Chance, under the null, that an event is of the canary.

    Returns:
        Log e-values; ``-inf`` where the events lean so far to the control that the value leaves the range of floats.
    """
    k, m = np.asarray(events_canary, dtype=float), np.asarray(events_control, dtype=float)
    null = np.asarray(share, dtype=float)
    a, b = PRIOR + k, 1.0 + m
    with np.errstate(divide="ignore"):
        tail = np.log(betaincc(a, b, null))
    prior = np.log(PRIOR) - np.log1p(-(null**PRIOR))
    return np.asarray(betaln(a, b) + tail + prior - k * np.log(null) - m * np.log1p(-null))


def guarded_log_e_value(
    events_canary: Floats, events_control: Floats, *, users_canary: Floats, users_control: Floats
) -> Floats:
    """Return `log_e_value` at the design share, lowered where the canary truly has more users than its share.

    When the split is broken (a sample-ratio mismatch), more users alone would look like more events. So the smaller of
    two values is taken: at the design share, and at the share that the canary has at least, two standard errors below
    what is observed. The smaller of an e-process and anything else keeps the guarantee.

    Args:
        events_canary: Users of the canary with an event, (...).
        events_control: Users of the control with an event, (...).
        users_canary: Users of the canary at risk, (...).
        users_control: Users of the control at risk, (...).
    """
    total = np.maximum(np.asarray(users_canary, dtype=float) + users_control, 1.0)
    slack = _SHARE_SLACK * np.sqrt(DESIGN_SHARE * (1.0 - DESIGN_SHARE) / total)
    observed = np.clip(users_canary / total - slack, DESIGN_SHARE, 1.0 - 1e-9)
    at_design = log_e_value(events_canary, events_control)
    return np.minimum(at_design, log_e_value(events_canary, events_control, share=observed))
