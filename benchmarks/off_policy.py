"""Off-policy estimates beside the truth, on the Open Bandit data: `python -m benchmarks.off_policy`.

ZOZOTOWN showed fashion items by two policies in the same week: at random, and by Thompson sampling ("bts"). What one
policy would earn is estimated from the other's log and held against what it did earn in its own log, on 10,000 slots
each: no estimate is checked on data that it was made from.

Source: Saito, Aihara, Matsutani and Narita 2020, "Open Bandit Dataset and Pipeline"; the sample in obp 0.4.1.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv as csv
from numpy.typing import NDArray

from flows.datasets import fetch_open_bandit
from infra.settings import Settings
from monitoring.canary.off_policy import Estimate, LoggedSlots, Predictions, Refusal, doubly_robust, ips, snips

CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
_MEMBERS = "obp/dataset/obd"
_FOLDS = 5
_PRIOR_SLOTS = 200.0
"""Slots at the mean rate that the reward model adds to every item: 40 clicks in 10,000 slots say little of one item."""


@dataclass(frozen=True, eq=False)
class Log:
    """What one policy showed in one campaign, (n,) everywhere but `num_items`."""

    items: NDArray[np.int64]
    positions: NDArray[np.int64]
    clicks: NDArray[np.float64]
    propensities: NDArray[np.float64]
    num_items: int


@dataclass(frozen=True)
class Line:
    """One estimate beside the truth.

    Attributes:
        campaign: Which items were shown.
        policy: Whose reward per slot is estimated.
        log: Whose log it is estimated from.
        method: Which estimator.
        truth: Reward per slot that the policy earned in its own log.
        truth_error: Standard error of the truth.
        estimate: None when it was refused.
        lower: Lower end of the estimate's interval.
        upper: Upper end.
        effective_slots: Slots of the policy's own that the log is worth.
        is_inside: The truth is inside the interval.
        is_within_noise: The difference is below 1.96 standard errors of both together.
        words: Of the refusal.
    """

    campaign: str
    policy: str
    log: str
    method: str
    truth: float
    truth_error: float
    estimate: float | None
    lower: float | None
    upper: float | None
    effective_slots: float
    is_inside: bool | None
    is_within_noise: bool | None
    words: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 when no estimate that was given is off by more than the noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    lines = list(measure(fetch_open_bandit(Settings())))
    print(json.dumps([asdict(line) for line in lines], indent=1) if options.json else _table(lines))
    return 0 if all(line.is_within_noise is not False for line in lines) else 1


def measure(wheel: Path) -> Iterator[Line]:
    """Estimate each policy from the other's log, in every campaign and by every method."""
    for campaign in CAMPAIGNS:
        logs = {policy: read_log(wheel, policy, campaign) for policy in ("random", "bts")}
        uniform = np.full((POSITIONS, logs["bts"].num_items), 1.0 / logs["bts"].num_items)
        yield from _lines(campaign, "random", uniform, truth=logs["random"], log=logs["bts"], named="bts")
        yield from _lines(campaign, "bts", shares(logs["bts"]), truth=logs["bts"], log=logs["random"], named="random")


def read_log(wheel: Path, policy: str, campaign: str) -> Log:
    """Read the log of one policy out of the wheel."""
    columns = ["item_id", "position", "click", "propensity_score"]
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{_MEMBERS}/{policy}/{campaign}/{campaign}.csv") as file:
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(include_columns=columns))
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{_MEMBERS}/{policy}/{campaign}/item_context.csv") as file:
        num_items = csv.read_csv(file).num_rows
    items, positions, clicks, propensities = (table[name].to_numpy() for name in columns)
    return Log(items, positions - 1, clicks.astype(np.float64), propensities, num_items)


def shares(log: Log) -> NDArray[np.float64]:
    """Return how often each item stood at each position, (P, N): a policy's mean probabilities over the week.

    Thompson sampling here never looks at the user, so these are all that is to be known of it.
    """
    counts = np.zeros((POSITIONS, log.num_items))
    np.add.at(counts, (log.positions, log.items), 1.0)
    return counts / counts.sum(axis=1, keepdims=True)


def slots(log: Log, probabilities: NDArray[np.float64]) -> LoggedSlots:
    """Return a log with the probabilities, (P, N), of another policy.

    The data has no user ids, and 10,000 slots of millions seldom share one: each slot counts as a user of its own.
    """
    users = np.arange(len(log.items))
    return LoggedSlots(users, log.clicks, log.propensities, probabilities[log.positions, log.items])


def predict(log: Log, probabilities: NDArray[np.float64]) -> Predictions:
    """Predict clicks by each item's rate in the other folds, drawn to the mean rate."""
    folds = np.arange(len(log.items)) % _FOLDS
    shown = np.bincount(log.items * _FOLDS + folds, minlength=log.num_items * _FOLDS).reshape(-1, _FOLDS)
    clicked = np.bincount(log.items * _FOLDS + folds, log.clicks, log.num_items * _FOLDS).reshape(-1, _FOLDS)
    others_shown = shown.sum(axis=1, keepdims=True) - shown  # (N, folds)
    others_clicked = clicked.sum(axis=1, keepdims=True) - clicked
    mean = others_clicked.sum(axis=0) / others_shown.sum(axis=0)
    rates = (others_clicked + _PRIOR_SLOTS * mean) / (others_shown + _PRIOR_SLOTS)
    return Predictions(rates[log.items, folds], (probabilities @ rates)[log.positions, folds])


def _lines(
    campaign: str, policy: str, probabilities: NDArray[np.float64], *, truth: Log, log: Log, named: str
) -> Iterator[Line]:
    logged = slots(log, probabilities)
    answers = {
        "ips": ips(logged),
        "snips": snips(logged),
        "doubly robust": doubly_robust(logged, predict(log, probabilities)),
    }
    for method, answer in answers.items():
        yield _line(answer, campaign=campaign, policy=policy, method=method, named=named, clicks=truth.clicks)


def _line(
    answer: Estimate | Refusal, *, campaign: str, policy: str, method: str, named: str, clicks: NDArray[np.float64]
) -> Line:
    truth, error = float(clicks.mean()), float(clicks.std(ddof=1) / np.sqrt(len(clicks)))
    effective = answer.overlap.effective_slots if answer.overlap else 0.0
    if isinstance(answer, Refusal):
        return Line(
            campaign, policy, named, method, truth, error, None, None, None, effective, None, None, answer.words
        )
    noise = 1.96 * float(np.hypot(answer.standard_error, error))
    return Line(
        campaign,
        policy,
        named,
        method,
        truth,
        error,
        answer.value,
        answer.lower,
        answer.upper,
        effective,
        answer.lower <= truth <= answer.upper,
        abs(answer.value - truth) <= noise,
    )


def _table(lines: list[Line]) -> str:
    rows = [
        "| campaign | policy | from the log of | method | truth (clicks a slot) | estimate, 95 % interval | effective "
        "slots | truth inside | difference within the noise of both |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {line.campaign} | {line.policy} | {line.log} | {line.method} | {line.truth:.4f} +- "
        f"{1.96 * line.truth_error:.4f} | {_estimate(line)} | {line.effective_slots:,.0f} | "
        f"{_mark(holds=line.is_inside)} | {_mark(holds=line.is_within_noise)} |"
        for line in lines
    ]
    return "\n".join(rows)


def _estimate(line: Line) -> str:
    if line.estimate is None:
        return f"refused: {line.words}"
    return f"{line.estimate:.4f}, {line.lower:.4f} to {line.upper:.4f}"


def _mark(*, holds: bool | None) -> str:
    return "" if holds is None else "yes" if holds else "**no**"


if __name__ == "__main__":
    sys.exit(main())
