"""The pictures of a run (how it learned, what lists find, how popular they are, what re-ranking trades) and a contest.

Matplotlib is imported inside the functions, since it costs most of a second and serving never draws.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.evaluation.comparison import BETTER, NOT_DISTINGUISHABLE, WORSE, Comparison
from recmodels.evaluation.contest import Contest
from recmodels.evaluation.record import Evaluation
from recmodels.evaluation.trade_offs import MEASURES, RELEVANCE, TradeOff

_INCHES = (6.4, 4.0)
_DOTS_PER_INCH = 120
_LINEAR_PERCENT = 20.0
_TOO_WIDE = 20
_COLOURS = {BETTER: "tab:green", WORSE: "tab:red", NOT_DISTINGUISHABLE: "tab:gray"}


class EpochFigures(Protocol):
    """What is drawn of one epoch."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 1."""
        ...

    @property
    def loss(self) -> float:
        """Mean training loss."""
        ...

    @property
    def ndcg_at_10(self) -> float:
        """Validation metric that decides when to stop."""
        ...


def loss_curve(epochs: Sequence[EpochFigures], path: Path) -> None:
    """Draw training loss and validation ndcg_at_10 by epoch into a PNG; without an epoch the axes stay empty."""
    figure, axes = _figure("epoch", "training loss")
    numbers = [epoch.epoch for epoch in epochs]
    axes.plot(numbers, [epoch.loss for epoch in epochs], marker="o", color="tab:blue", label="training loss")
    right = axes.twinx()
    right.plot(numbers, [epoch.ndcg_at_10 for epoch in epochs], marker="s", color="tab:orange", label="ndcg_at_10")
    right.set_ylabel("validation ndcg_at_10")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="upper center", ncols=2)
    _save(figure, path)


def recall_by_k(evaluations: Mapping[str, Evaluation], path: Path) -> None:
    """Draw recall with its interval by list length, one line a model, into a PNG.

    Args:
        evaluations: Evaluation by the name to show.
        path: The file to write.
    """
    figure, axes = _figure("list length k", "recall at k (mean over users)")
    for name, evaluation in evaluations.items():
        ks = sorted(int(key.rpartition("_")[2]) for key in evaluation.metrics if key.startswith("recall_at_"))
        values = np.array([evaluation.metrics[f"recall_at_{k}"] for k in ks])
        ends = [evaluation.intervals[f"recall_at_{k}"] for k in ks]
        below = values - np.array([interval.lower for interval in ends])
        above = np.array([interval.upper for interval in ends]) - values
        axes.errorbar(ks, values, yerr=np.maximum([below, above], 0.0), marker="o", capsize=3, label=name)
    axes.set_ylim(bottom=0)
    axes.legend()
    _save(figure, path)


def popularity_of_recommended(evaluation: Evaluation, item_counts: NDArray[np.int64], path: Path) -> None:
    """Draw which part of all recommendations the most popular items take, into a PNG.

    The second line is the same share of the training interactions: a model above it favours popular items more than
    people did.

    Args:
        evaluation: The model's evaluation.
        item_counts: ``(V,)`` training interactions of each item index of the same bundle.
        path: The file to write.
    """
    figure, axes = _figure("share of the catalogue, most popular first", "share of all")
    order = np.argsort(-item_counts[FIRST_ITEM:], kind="stable")
    share = np.arange(len(order) + 1) / max(len(order), 1)
    for label, counts in (("recommended", evaluation.recommended_counts), ("training interactions", item_counts)):
        axes.plot(share, _cumulative_share(counts[FIRST_ITEM:][order]), label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right")
    _save(figure, path)


def trade_offs(curves: Mapping[str, Sequence[TradeOff]], path: Path) -> None:
    """Draw relevance against distance, coverage and the Gini coefficients by strength, one line a curve, into a PNG.

    Each point bears its strength; a measure that a data set does not have leaves its panel empty.

    Args:
        curves: Points by the name to show, each in order of strength.
        path: The file to write.
    """
    figure, axes = _figure("", "")
    figure.set_size_inches(2 * _INCHES[0], 2 * _INCHES[1])
    panels = [axes, *(figure.add_subplot(2, 2, number) for number in (2, 3, 4))]
    axes.set_subplotspec(panels[1].get_subplotspec().get_gridspec()[0, 0])
    for panel, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for name, points in curves.items():
            drawn = [point for point in points if measure in point.metrics]
            values = [point.metrics[measure] for point in drawn]
            panel.plot([point.metrics[RELEVANCE] for point in drawn], values, marker="o", label=name)
            for point, value in zip(drawn, values, strict=True):
                panel.annotate(f"{point.strength:g}", (point.metrics[RELEVANCE], value), fontsize=7)
        panel.set_xlabel("ndcg at 10")
        panel.set_ylabel(words)
        panel.grid(visible=True, alpha=0.3)
    axes.legend()
    _save(figure, path)


def intervals_of_contest(contest: Contest, path: Path) -> None:
    """Draw every difference with its interval as a share of the baseline, by metric and by slice, into a PNG.

    Left all metrics over all users, right the deciding metric by slice; green is better, red worse, gray neither. A
    difference from a baseline of 0 is no share of it, and is left out.

    Args:
        contest: What was compared.
        path: The file to write.
    """
    figure, axes = _figure("difference, % of the baseline", "")
    whole = dict(contest.comparisons)
    sliced = {"all users": contest.decisive, **contest.decisive.slices}
    figure.set_size_inches(2 * _INCHES[0], max(_INCHES[1], 0.3 * max(len(whole), len(sliced)) + 1.5))
    right = figure.add_subplot(1, 2, 2)
    axes.set_subplotspec(right.get_subplotspec().get_gridspec()[0, 0])
    right.set_xlabel("difference, % of the baseline")
    right.grid(visible=True, alpha=0.3)
    _forest(axes, whole)
    _forest(right, sliced)
    axes.set_title("every metric, all users")
    right.set_title(f"{contest.metric} by slice")
    figure.suptitle(f"{contest.candidate} against {contest.baseline}")
    _save(figure, path)


def _forest(axes: Any, comparisons: Mapping[str, Comparison]) -> None:
    """Draw one line a comparison, the first on top."""
    drawn = {name: one for name, one in comparisons.items() if np.isfinite(one.relative) and one.baseline != 0}
    for place, one in enumerate(drawn.values()):
        lower, middle, upper = (100 * value / abs(one.baseline) for value in (one.lower, one.difference, one.upper))
        axes.plot([lower, upper], [place, place], color=_COLOURS[one.verdict], linewidth=2)
        axes.plot([middle], [place], marker="o", color=_COLOURS[one.verdict])
    ends = [100 * max(abs(one.lower), abs(one.upper)) / abs(one.baseline) for one in drawn.values()]
    if max(ends, default=0.0) > _LINEAR_PERCENT * _TOO_WIDE:
        axes.set_xscale("symlog", linthresh=_LINEAR_PERCENT)  # or what changed by a tenth could not be seen
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(drawn)), [f"{name} ({one.num_users:,})" for name, one in drawn.items()])
    axes.set_ylim(max(len(drawn), 1) - 0.5, -0.5)


def _cumulative_share(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(total / max(int(total[-1]), 1), dtype=np.float64)


def _figure(x_label: str, y_label: str) -> tuple[Any, Any]:
    """Return a figure and its axes; without pyplot, so that nothing is shared between threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    """Write the PNG without its software tag, so that equal pictures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
