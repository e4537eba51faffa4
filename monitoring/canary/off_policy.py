"""What a challenger would have earned, from what another policy showed and logged; refused where the log cannot say.

A slot is one item at one position of one answer. The value is the reward per slot, and a slot's weight is how much
likelier the challenger shows its item there than the logging policy did. That presumes that a reward depends on the
item, the position and the user, and not on the rest of the list.

Source: Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen 2018, "Offline evaluation of ranking policies with
click models", section 5.2 (the item-position estimator), for slots in the place of whole lists.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtri

from monitoring.canary.arms import Floats

_ROUNDING = 1e-9


class OffPolicyConfig(BaseModel):
    """When a log is good enough, and how wide intervals are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""
    mean_weight_errors: float = Field(3.0, gt=0)
    """Most standard errors that the mean weight may lie from 1."""
    maximum_unsupported: float = Field(0.01, ge=0, lt=1)
    """Largest share of the challenger's choices that the logging policy could not have shown."""
    minimum_effective_share: float = Field(0.01, gt=0, le=1)
    """Smallest effective sample size, as a share of the slots."""


@dataclass(frozen=True, eq=False)
class LoggedSlots:
    """Slots that a policy with known probabilities filled, (n,) everywhere.

    Attributes:
        users: Who saw the slot; any label, the same for the same user.
        rewards: What the slot earned.
        propensities: Probability that the logging policy shows this item at this position.
        challenger: Probability that the challenger shows this item at this position.
        unsupported: The challenger's probability, at this position, of all items that the logging policy could not
            have shown there; None where that is not known.
    """

    users: NDArray[np.generic]
    rewards: Floats
    propensities: Floats
    challenger: Floats
    unsupported: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths, and what is no probability or no reward."""
        columns = {name: getattr(self, name) for name in ("rewards", "propensities", "challenger", "unsupported")}
        given = {name: column for name, column in columns.items() if column is not None}
        for name, column in given.items():
            if column.shape != self.users.shape:
                raise ValueError(
                    f"{name} has shape {column.shape}, expected {self.users.shape}: give one value a slot."
                )
            is_wrong = ~np.isfinite(column) if name == "rewards" else ~((column >= 0) & (column <= 1))
            if np.any(is_wrong):
                raise ValueError(f"{name} holds {column[is_wrong][0]!r}, expected {_expected(name)}: mend the log.")
        if np.any(self.propensities == 0):
            raise ValueError("propensities holds 0.0 for an item that was shown: log what it was drawn with.")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def weights(self) -> Floats:
        """Challenger's probability over the logging policy's, (n,)."""
        return np.asarray(self.challenger / self.propensities)

    def take(self, rows: NDArray[np.bool_]) -> "LoggedSlots":
        """Return the slots where `rows`, (n,), holds."""
        unsupported = None if self.unsupported is None else self.unsupported[rows]
        return LoggedSlots(
            self.users[rows], self.rewards[rows], self.propensities[rows], self.challenger[rows], unsupported
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a reward model expects, made without the user's own rewards (cross-fitted), (n,) everywhere.

    Attributes:
        shown: Reward of the item that was shown in the slot.
        challenger: Mean reward of the items that the challenger would show in it, by its own probabilities.
    """

    shown: Floats
    challenger: Floats


@dataclass(frozen=True)
class Overlap:
    """How far a log can speak of a challenger.

    Attributes:
        slots: n.
        users: Distinct users.
        mean_weight: 1 in expectation, where the propensities are true and nothing lacks support.
        mean_weight_error: Its standard error, clustered by user.
        effective_slots: ``sum(w) ** 2 / sum(w ** 2)``: as many slots of the challenger's own would be worth as much.
    """

    slots: int
    users: int
    mean_weight: float
    mean_weight_error: float
    effective_slots: float


@dataclass(frozen=True)
class Estimate:
    """A challenger's reward per slot.

    Attributes:
        method: ``"ips"``, ``"snips"`` or ``"doubly_robust"``.
        value: Reward per slot.
        standard_error: Clustered by user.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        confidence: Coverage of the interval.
        logged: Reward per slot that the logging policy earned.
        overlap: How far the log could speak of the challenger.
    """

    method: str
    value: float
    standard_error: float
    lower: float
    upper: float
    confidence: float
    logged: float
    overlap: Overlap

    @property
    def words(self) -> str:
        """The estimate as a sentence."""
        return (
            f"{self.method}: the challenger would earn {self.value:.5f} a slot ({self.confidence:.0%} interval "
            f"{self.lower:.5f} to {self.upper:.5f}), the logging policy earned {self.logged:.5f}; "
            f"{self.overlap.slots:,} slots of {self.overlap.users:,} users are worth "
            f"{self.overlap.effective_slots:,.0f} of the challenger's own"
        )


@dataclass(frozen=True)
class Refusal:
    """No estimate, and why.

    Attributes:
        rule: ``"no_slots"``, ``"deterministic"``, ``"one_user"``, ``"no_support"``, ``"mean_weight"`` or
            ``"effective_slots"``.
        words: What was seen, what was expected, and what to do.
        overlap: None where there was nothing to compute it from.
    """

    rule: str
    words: str
    overlap: Overlap | None = None


def exploration(log: LoggedSlots) -> LoggedSlots:
    """Return the slots that were drawn at random; one of propensity 1 says nothing of other items."""
    return log.take(log.propensities < 1)


def ips(log: LoggedSlots, *, config: OffPolicyConfig | None = None) -> Estimate | Refusal:
    """Estimate by inverse propensity scores, ``mean(w * r)``: without bias, and of large variance.

    Source: Horvitz and Thompson 1952, "A generalization of sampling without replacement from a finite universe",
    equation 5, with a draw's probability in the place of the inclusion probability.

    Args:
        log: Exploration traffic alone; see `exploration`.
        config: When to refuse.
    """
    return refuse(log, config=config) or _estimate("ips", log, log.weights * log.rewards, config)


def snips(log: LoggedSlots, *, config: OffPolicyConfig | None = None) -> Estimate | Refusal:
    """Estimate by self-normalised scores, ``sum(w * r) / sum(w)``: a little biased, and never outside the rewards.

    The standard error is the delta method's.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning", section 4.

    Args:
        log: Exploration traffic alone; see `exploration`.
        config: When to refuse.
    """
    if refusal := refuse(log, config=config):
        return refusal
    weights = log.weights
    value = float(weights @ log.rewards / weights.sum())
    return _estimate("snips", log, value + weights / weights.mean() * (log.rewards - value), config)


def doubly_robust(
    log: LoggedSlots, predictions: Predictions, *, config: OffPolicyConfig | None = None
) -> Estimate | Refusal:
    """Estimate by a reward model whose error is weighed in, ``mean(v + w * (r - q))``.

    Right in expectation when either the propensities or the predictions are; the better the predictions, the smaller
    the variance.

    Source: Dudik, Langford and Li 2011, "Doubly robust policy evaluation and learning", equation 2.

    Args:
        log: Exploration traffic alone; see `exploration`.
        predictions: Of the reward model.
        config: When to refuse.

    Raises:
        ValueError: The predictions are not one a slot.
    """
    if not predictions.shown.shape == predictions.challenger.shape == log.users.shape:
        raise ValueError(
            f"the predictions have shapes {predictions.shown.shape} and {predictions.challenger.shape}, expected "
            f"{log.users.shape}: give one a slot."
        )
    values = predictions.challenger + log.weights * (log.rewards - predictions.shown)
    return refuse(log, config=config) or _estimate("doubly_robust", log, values, config)


def refuse(log: LoggedSlots, *, config: OffPolicyConfig | None = None) -> Refusal | None:
    """Say why no estimate from this log can be trusted; None where one can."""
    terms = config or OffPolicyConfig()
    if not len(log):
        return Refusal("no_slots", "the log holds no slot; log propensities below 1 on a share of the traffic first.")
    fixed = np.count_nonzero(log.propensities == 1)
    if fixed:
        words = (
            f"{fixed:,} of {len(log):,} slots have propensity 1: they were not drawn at random and say nothing of "
            "other items. Leave them out, and explore on a share of the traffic."
        )
        return Refusal("deterministic", words)
    overlap = overlap_of(log)
    if overlap.users < 2:
        return Refusal("one_user", "all slots are of one user; an error cannot be told. Bring more users.", overlap)
    return _unsupported(log, overlap, terms) or _unlike(overlap, terms)


def overlap_of(log: LoggedSlots) -> Overlap:
    """Measure how far a log of at least one slot can speak of a challenger."""
    weights = log.weights
    squares = float(weights @ weights)
    return Overlap(
        slots=len(log),
        users=len(np.unique(log.users)),
        mean_weight=float(weights.mean()),
        mean_weight_error=_clustered_error(weights, log.users),
        effective_slots=float(weights.sum()) ** 2 / squares if squares else 0.0,
    )


def _unsupported(log: LoggedSlots, overlap: Overlap, config: OffPolicyConfig) -> Refusal | None:
    if log.unsupported is None or log.unsupported.mean() <= config.maximum_unsupported:
        return None
    words = (
        f"{log.unsupported.mean():.1%} of the challenger's choices are items that the logging policy could not have "
        f"shown, more than {config.maximum_unsupported:.1%}: nothing is known of them. Explore over more items."
    )
    return Refusal("no_support", words, overlap)


def _unlike(overlap: Overlap, config: OffPolicyConfig) -> Refusal | None:
    off = abs(overlap.mean_weight - 1)
    if off > config.mean_weight_errors * overlap.mean_weight_error + _ROUNDING:
        words = (
            f"the mean weight is {overlap.mean_weight:.3f} (standard error {overlap.mean_weight_error:.3f}), more than "
            f"{config.mean_weight_errors:g} errors from 1: the propensities are wrong, or part of the challenger's "
            "choices was never explored. Check how propensities are logged."
        )
        return Refusal("mean_weight", words, overlap)
    needed = config.minimum_effective_share * overlap.slots
    if overlap.effective_slots >= needed:
        return None
    words = (
        f"the effective sample size is {overlap.effective_slots:,.1f} of {overlap.slots:,} slots, below "
        f"{config.minimum_effective_share:.1%}: a few heavy slots decide. Explore more evenly, or for longer."
    )
    return Refusal("effective_slots", words, overlap)


def _estimate(method: str, log: LoggedSlots, values: Floats, config: OffPolicyConfig | None) -> Estimate:
    confidence = (config or OffPolicyConfig()).confidence
    value, error = float(values.mean()), _clustered_error(values, log.users)
    radius = float(ndtri((1 + confidence) / 2)) * error
    logged = float(log.rewards.mean())
    return Estimate(method, value, error, value - radius, value + radius, confidence, logged, overlap_of(log))


def _clustered_error(values: Floats, users: NDArray[np.generic]) -> float:
    """Return the standard error of the mean when the values of one user belong together; 0 for a single user.

    Source: Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models", equation 7, for a mean,
    with the factor U / (U - 1) for few users.
    """
    _, rows = np.unique(users, return_inverse=True)
    sums = np.bincount(rows, weights=values - values.mean())
    return float(np.sqrt(sums @ sums * len(sums) / max(len(sums) - 1, 1)) / len(values))


def _expected(name: str) -> str:
    return "a finite number" if name == "rewards" else "a probability from 0 to 1"
