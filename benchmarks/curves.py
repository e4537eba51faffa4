"""Curves of trainings: how good a model was after how much processor time; kept in a file, so that none is lost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results/training_curves.json")


@dataclass(frozen=True)
class Point:
    """After an epoch: processor time of training so far, and the mean over the validation users."""

    epoch: int
    cpu_seconds: float
    ndcg_at_10: float
    load: float


@dataclass(frozen=True)
class Curve:
    """One training.

    Attributes:
        data: Name of the data set.
        library: Who trained.
        against: The peer with which it is compared.
        loss: By the library's own name.
        is_finished: It stopped for want of anything better (a peer), or was as good as the peer (ours).
        points: One an epoch.
        queries: Validation users.
        items: Of the catalogue.
        settings: Of the training.
        versions: Of packages.
        processor: It ran on.
        command: Makes it again.
        commit: Of the code, with ``+`` where files differed from it.
        date: When it ended (UTC).
    """

    data: str
    library: str
    against: str
    loss: str
    is_finished: bool
    points: tuple[Point, ...]
    queries: int
    items: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    processor: str
    command: str
    commit: str
    date: str


def best(points: Sequence[Point]) -> Point:
    """Return the point of the highest ndcg_at_10, the first of those that share it."""
    return max(points, key=lambda point: (point.ndcg_at_10, -point.epoch))


def seconds_to(points: Sequence[Point], value: float) -> float | None:
    """Return the processor time at the end of the first epoch that is at least as good; None where none is.

    Nothing is interpolated: a model exists at the end of an epoch only.
    """
    return next((point.cpu_seconds for point in points if point.ndcg_at_10 >= value), None)


def is_over(points: Sequence[Point], *, patience: int) -> bool:
    """Tell whether the last `patience` epochs brought nothing better."""
    return bool(points) and len(points) - 1 - list(points).index(best(points)) >= patience


def load(file: Path = RESULTS) -> list[Curve]:
    """Return the curves that are kept."""
    if not file.exists():
        return []
    return [
        Curve(**{**one, "points": tuple(Point(**point) for point in one["points"])})
        for one in json.loads(file.read_text())
    ]


def keep(curve: Curve, file: Path = RESULTS) -> None:
    """Keep a curve in place of an older one of the same library, data and loss."""
    others = [one for one in load(file) if _place(one) != _place(curve)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(one) for one in sorted([*others, curve], key=_place)], indent=1) + "\n")


def _place(curve: Curve) -> tuple[str, ...]:
    side = "ours" if curve.library != curve.against else ""
    return curve.data, curve.against, side, curve.loss
