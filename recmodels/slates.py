"""What is asked of a ranker and what it answers: one wish, one list, and how that list came about."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ask:
    """One list that is wanted.

    Attributes:
        item_ids: The user's items, oldest first; may be empty, unknown ids count as unknown items.
        timestamps: Microseconds since 1970 of each event; puts the history in order where given. Without them, a model
            that reads times takes all events to have happened at once, in the order given.
        k: Most items in the list, at least 1.
        surface: Leaves out items of other surfaces. Items without a surface belong to all, and a surface that no item
            has leaves out nothing, since it then tells of the visit rather than of the items.
        exclude: Ids to leave out for this user.
        age: Years of who asks, for items that are restricted by age; None where that is not known.
        seed: Of what re-ranking draws for this list, 0 to 2^63 - 1.
        moment: Microseconds since 1970 now, for a second stage; None for just after the last event of the history.
        query: What was searched for, for a second stage.
        attributes: Of the user by name, for a second stage whose features name them.
    """

    item_ids: Sequence[str]
    timestamps: Sequence[int] | None
    k: int
    surface: str | None = None
    exclude: Collection[str] = ()
    age: float | None = None
    seed: int = 0
    moment: int | None = None
    query: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slate:
    """One ordered list to show.

    Attributes:
        item_ids: At most k raw ids, best first.
        scores: The model's score of each; its utility where a second stage ranks.
        propensities: The probability of each item at its place; 1 where nothing is drawn at random.
        non_finite: The model gave a score that is not a finite number; such items are never in the list.
        has_newcomers: An item that the bundle does not know, of the newcomers' segment, is in the list.
        is_popular: The model can say nothing of this history: these are popular items, and their counts for scores.
    """

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    non_finite: bool
    has_newcomers: bool = False
    is_popular: bool = False


@dataclass(frozen=True, eq=False)
class TopK:
    """Ordered lists for B histories.

    Attributes:
        items: (B, k) int32 item indices, best first; 0 where a list is short.
        scores: (B, k) float32; -inf where a list is short.
        non_finite: (B,) the model gave a score that is not a finite number.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    non_finite: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> "TopK":
        """Return some of the lists, in the order given."""
        return TopK(self.items[rows], self.scores[rows], self.non_finite[rows])


@dataclass(frozen=True)
class TraceStage:
    """One stage on the way to a list.

    Attributes:
        name: ``catalogue``, ``retrieval``, ``filter seen``, ``filter excluded``, ``filter blocked``,
            ``filter safety``, ``filter surface``, ``newcomers``, ``ranking`` or ``re-rank`` with the name of a stage.
        kept: Items after the stage.
        removed: Items that the stage took away; an item that several filters refuse counts at the first.
        words: What the stage did, for a person.
    """

    name: str
    kept: int
    removed: int
    words: str


@dataclass(frozen=True)
class Rejected:
    """An item that scored well enough for the list and is not in it.

    Attributes:
        item_id: Raw id.
        reason: ``seen``, ``excluded``, ``blocked``, ``safety``, ``surface``, ``not retrieved`` where an approximate
            index missed it, or ``re-ranked`` where another item took its place.
        score: The model's.
    """

    item_id: str
    reason: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a second stage expects of showing an item.

    Attributes:
        probabilities: Of each kind of feedback by name, calibrated.
        watch_seconds: Expected; None where nothing predicts them.
        utility: What that is worth.
    """

    probabilities: Mapping[str, float]
    watch_seconds: float | None
    utility: float


@dataclass(frozen=True)
class Trace:
    """How one list came about.

    Attributes:
        stages: In order. What a stage keeps is what the one before kept, less what it removed; only ``newcomers`` adds.
        slate: The list.
        rejected: Items that retrieval scored better and that are not in it, best first, at most 50.
        predictions: Of a second stage, one an item of the list; empty without one.
    """

    stages: tuple[TraceStage, ...]
    slate: Slate
    rejected: tuple[Rejected, ...]
    predictions: tuple[Prediction, ...] = ()
