"""The part of a split that an adaptation may see: some users of its surfaces, and their events there as targets."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recmodels.adaptation.config import AdaptationConfig
from recmodels.data.splits import Queries, Split
from recmodels.errors import TrainingError

_STREAM = 6  # of the seed, apart from those of weights and epochs


def focus(split: Split, config: AdaptationConfig, *, seed: int) -> Split:
    """Return the split of the named surfaces alone.

    Users are drawn one after the other by the seed, so that a larger share holds those of a smaller one. A chosen
    user's history is whole, with events of every surface, but only events of the named ones are to be predicted. The
    catalogue stays as it is. The questions of both windows are those of the surfaces.

    Args:
        split: Of all surfaces.
        config: Which surfaces, and the share of their users.
        seed: Draws the users.

    Raises:
        TrainingError: The training part does not know its surfaces, holds no event of the named ones, or the
            validation part asks nothing there.
    """
    is_target = _is_on(split, config)
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_target)])
    users = np.flatnonzero(counts[split.train.ends] > counts[split.train.starts])
    if not len(users):
        raise _nothing(split, config, "the training part holds no event")
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    chosen = np.sort(rng.permutation(users)[: math.ceil(config.share * len(users))])
    validation = _of_surfaces(split.validation, config)
    if not len(validation):
        raise _nothing(split, config, "the validation part has no question")
    return replace(
        split,
        train=split.train.take(chosen),
        train_user_ids=split.train_user_ids[chosen],
        is_target=is_target,
        validation=validation,
        test=_of_surfaces(split.test, config),
    )


def _is_on(split: Split, config: AdaptationConfig) -> NDArray[np.bool_]:
    """Return which training events are of the surfaces, (E,)."""
    if split.train_surfaces is None:
        raise TrainingError(
            "this training part does not say on which surface its events were, so that no model can be adapted to one. "
            "Split the interactions with split_interactions."
        )
    wanted = [place for place, name in enumerate(split.surface_names) if name in config.surfaces]
    return np.isin(split.train_surfaces, wanted)


def _of_surfaces(queries: Queries, config: AdaptationConfig) -> Queries:
    return queries.take(np.flatnonzero(np.isin(queries.surfaces, config.surfaces)))


def _nothing(split: Split, config: AdaptationConfig, words: str) -> TrainingError:
    return TrainingError(
        f"{words} on {', '.join(config.surfaces)}. Surfaces of the training part: "
        f"{', '.join(split.surface_names) or 'none'}. Name others in adaptation.surfaces, or move the cutoff."
    )
