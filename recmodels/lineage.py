"""What a training starts from: nothing, or the weights of a champion, and what is recorded of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from recmodels.models import MODELS

if TYPE_CHECKING:  # both hold a part that is defined here
    from recmodels.manifest import Manifest
    from recmodels.recipe import Recipe

WEIGHTS: Final = "training/weights.safetensors"
"""Where a bundle keeps what training found beside the item vectors; who serves it never reads it."""

OLDER_USERS: Final = "user=older"
"""Slice of the users whose history lies mainly before what a warm start learned from: who could be forgotten."""

IN_ONE_GO: Final = "is computed from all data in one go"


class WarmStartConfig(BaseModel):
    """How training goes on from the champion when data has grown, instead of starting from random weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = False
    """Go on from the champion where it has weights of the same model; otherwise train from scratch and say so."""
    epochs: int = Field(10, ge=1)
    """Most passes, in place of `trainer.epochs`; `trainer.patience` still ends training before."""
    learning_rate_factor: float = Field(1.0, gt=0, le=1)
    """Of `trainer.learning_rate`: smaller steps leave more of what the champion knows, and place new items later."""
    replay_share: float = Field(0.5, ge=0, le=1)
    """Share of the histories without a new event that each epoch repeats, drawn anew each time; 0 learns from histories
    with new events alone and forgets most, 1 costs as much an epoch as training from scratch."""


class WarmStartReport(BaseModel):
    """What became of the champion's items when training went on from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str
    """Digest of the bundle that training went on from."""
    since: datetime
    """The parent learned from events before this time (UTC); later ones are new."""
    items_carried: int
    """Items that both catalogues hold."""
    items_new: int
    """Items that started from their neighbours."""
    items_without_neighbours: int
    """Of these, items that started from the mean of all, since the parent knew neither creator nor category."""
    items_dropped: int
    """Items of the parent that the new catalogue does not hold."""

    @property
    def words(self) -> str:
        """The report as a sentence."""
        return (
            f"warm start from {self.parent[:12]} (events before {self.since:%Y-%m-%d %H:%M} UTC): "
            f"{self.items_carried:,} items carried over, {self.items_new:,} new "
            f"({self.items_without_neighbours:,} of them at the mean of all), {self.items_dropped:,} dropped"
        )


@dataclass(frozen=True)
class Origin:
    """What a training starts from.

    Attributes:
        parent: Digest of the bundle whose weights it goes on from; empty when it starts from scratch.
        words: Why; empty where the recipe asks for no warm start.
    """

    parent: str = ""
    words: str = ""


def origin_of(recipe: "Recipe", *, snapshot: str, champion: "Manifest | None", digest: str) -> Origin:
    """Decide what a training starts from.

    A champion of this very snapshot has learned all of it. Where it was itself a warm start, its own parent is taken,
    so that repeating a run is the same run; else there is nothing new to learn.

    Args:
        recipe: What is to be trained.
        snapshot: Fingerprint of the data.
        champion: Manifest of who serves; None before the first.
        digest: Of the champion's bundle.
    """
    if not recipe.warm_start.enabled:
        return Origin()
    name = recipe.model.name
    if hasattr(MODELS.get(name), "fit"):
        return _from_scratch(f"{name} {IN_ONE_GO}, and a warm start means nothing to it")
    if champion is None:
        return _from_scratch("there is no champion yet")
    if champion.model != name:
        return _from_scratch(f"the champion {digest[:12]} is of the model {champion.model!r}, not {name!r}")
    if champion.snapshot == snapshot:
        if champion.warm_start is not None:
            return Origin(champion.warm_start.parent, f"from {champion.warm_start.parent[:12]}, as the champion")
        return _from_scratch(f"the champion {digest[:12]} has learned from this very data")
    if not has_weights(champion.files):
        return _from_scratch(f"the bundle of the champion {digest[:12]} holds no trained weights")
    return Origin(digest, f"from the champion {digest[:12]}")


def unless_too_late(origin: Origin, parent: "Manifest", *, train_until: datetime) -> Origin:
    """Return the origin, or one from scratch where the parent has learned from what the new model is judged on.

    Args:
        origin: What `origin_of` returned.
        parent: Manifest of its bundle.
        train_until: End of the new training part.
    """
    late = too_late(origin.parent, parent, train_until=train_until)
    return _from_scratch(late) if late else origin


def too_late(digest: str, parent: "Manifest", *, train_until: datetime, may_equal: bool = False) -> str:
    """Return why a bundle cannot be gone on from: it has learned from what judges the new model. Empty if it has not.

    Args:
        digest: Of the bundle.
        parent: Its manifest.
        train_until: End of the new training part.
        may_equal: Both may end at one moment, as where a parent is adapted to events of its own time.
    """
    if parent.trained_until < train_until or (may_equal and parent.trained_until == train_until):
        return ""
    return (
        f"bundle {digest[:12]} has learned from events up to {parent.trained_until:%Y-%m-%d %H:%M}; the new training "
        f"part ends {train_until:%Y-%m-%d %H:%M}, and what follows is to judge the model"
    )


def has_weights(files: Collection[str]) -> bool:
    """Return whether a bundle of these files can be gone on from."""
    return WEIGHTS in files


def _from_scratch(why: str) -> Origin:
    return Origin(words=f"from scratch: {why}")
