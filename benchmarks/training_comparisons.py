"""Which trainings are compared with another library's, under which settings, and what came of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from benchmarks.curves import Curve, best, seconds_to
from benchmarks.table import Figure

OURS = "everfeed"


@dataclass(frozen=True)
class Comparison:
    """How two libraries are compared on one data set.

    Attributes:
        architecture: What both have in common, dropout included.
        peer: The peer's own settings.
        ours: What our recipe sets beside the architecture.
        share: Of the peer's processor time that ours may take, and the stretch.
        patience: Epochs without a better value before the peer stops; the first ones learn what is popular, and the
            next may fall behind that.
        budget_seconds: Processor time after whose end the peer begins no epoch.
    """

    architecture: Mapping[str, Any]
    peer: Mapping[str, Any]
    ours: Sequence[str]
    share: tuple[float, float | None]
    patience: int = 20
    budget_seconds: float = 1200.0


_RECTOOLS = MappingProxyType(
    {"loss": "softmax", "negatives": 256, "batch_size": 128, "learning_rate": 1e-3, "epochs": 1000}
)
COMPARISONS: Mapping[tuple[str, str], Comparison] = MappingProxyType(
    {
        ("amazon_beauty", "rectools"): Comparison(
            {"embedding_dim": 64, "num_layers": 2, "num_heads": 2, "max_length": 50, "dropout": 0.2},
            {**_RECTOOLS, "loss": "sampled_softmax"},
            ["trainer.batch_size=128", "trainer.learning_rate=0.001", "model.config.loss=cross_entropy"],
            (1 / 2, 1 / 3),
            budget_seconds=480.0,
        ),
        ("ml_1m", "rectools"): Comparison(
            {"embedding_dim": 64, "num_layers": 2, "num_heads": 2, "max_length": 200, "dropout": 0.2},
            _RECTOOLS,
            ["trainer.batch_size=128", "trainer.learning_rate=0.001", "model.config.loss=sampled_softmax"],
            (1 / 2, 1 / 3),
        ),
        ("ml_100k", "rectools"): Comparison(
            {"embedding_dim": 64, "num_layers": 2, "num_heads": 2, "max_length": 50, "dropout": 0.2},
            {**_RECTOOLS, "batch_size": 32},
            ["trainer.batch_size=32", "trainer.learning_rate=0.001", "model.config.loss=cross_entropy"],
            (1 / 2, 1 / 3),
            budget_seconds=480.0,
        ),
        ("ml_100k", "recbole"): Comparison(
            {"embedding_dim": 64, "num_layers": 2, "num_heads": 2, "max_length": 50, "dropout": 0.5},
            {"loss": "cross_entropy", "batch_size": 2048, "learning_rate": 1e-3, "epochs": 1000},
            ["trainer.batch_size=32", "trainer.learning_rate=0.001", "model.config.loss=cross_entropy"],
            (1 / 20, None),
            budget_seconds=600.0,
        ),
    }
)


def best_peer(curves: Sequence[Curve], data: str, library: str) -> Curve | None:
    """Return the curve of the loss by which a library becomes best in the time it is given; None where none is kept."""
    its = [one for one in curves if (one.data, one.library) == (data, library)]
    return max(its, key=lambda one: best(one.points).ndcg_at_10, default=None)


def figures(curves: Sequence[Curve]) -> list[Figure]:
    """Return the table's lines: ours beside each peer."""
    lines = []
    for (data, library), comparison in COMPARISONS.items():
        peer = best_peer(curves, data, library)
        ours = [one for one in curves if (one.data, one.library, one.against) == (data, OURS, library)]
        if peer is not None and ours:
            top = best(peer.points).ndcg_at_10
            lines.append(_figure(comparison, peer, min(ours, key=lambda one: seconds_to(one.points, top) or math.inf)))
    return lines


def _figure(comparison: Comparison, peer: Curve, ours: Curve) -> Figure:
    most, stretch = comparison.share
    top = best(peer.points)
    seconds = seconds_to(ours.points, top.ndcg_at_10)
    share = None if seconds is None else seconds / top.cpu_seconds
    name = f"{peer.library} {peer.versions[peer.library]}"
    words = "not reached" if share is None or seconds is None else f"{seconds:.1f} s, {_part(share)}"
    so_far = "" if peer.is_finished else " (stopped before it ceased to improve)"
    return Figure(
        f"CPU-seconds to {name}'s best NDCG@10 on {peer.data}",
        f"<= 1/{1 / most:.0f}" + (f" (stretch 1/{1 / stretch:.0f})" if stretch else ""),
        words,
        _holds(share, most, peer),
        f"{name}, {peer.loss}: {top.ndcg_at_10:.4f} after {top.cpu_seconds:.0f} s, {top.epoch} epochs{so_far}; "
        f"ours, {ours.loss}: {best(ours.points).ndcg_at_10:.4f} after {len(ours.points)} epochs",
    )


def _holds(share: float | None, most: float, peer: Curve) -> bool | None:
    """Say whether a target is met; None where it is, but beside a peer that was stopped before its best."""
    is_met = share is not None and share <= most
    return None if is_met and not peer.is_finished else is_met


def _part(share: float) -> str:
    return f"1/{1 / share:.1f} of it" if share < 1 else f"{share:.1f} times it"
