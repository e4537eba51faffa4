"""Safety: whatever came before, what may not be shown goes. Always the last stage; no release can leave it out.

Candidates are filtered before they are found, too, so that this stage has nothing to do unless a stage before it put an
item into the list that it should not have.
"""

import numpy as np
from numpy.typing import NDArray

from recmodels.reranking.contract import StageConfig
from recmodels.reranking.pool import Draft, Pool
from recmodels.safety import SafetyPolicy


class Stage:
    """Takes away what the labels, the surface, the age or a takedown forbid."""

    class Config(SafetyPolicy, StageConfig):
        """The terms of the platform."""

    def __init__(self, config: SafetyPolicy) -> None:
        self._policy = config

    def is_allowed(self, pool: Pool) -> NDArray[np.bool_]:
        """Return which candidates may be shown, (C,)."""
        by_label = np.array(self._policy.allowed(shows_restricted=pool.shows_restricted))
        is_allowed: NDArray[np.bool_] = by_label[pool.labels] & pool.is_on_shelf
        return is_allowed

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return what may be shown of the first k, in its order."""
        first = draft.order[:k]
        is_kept = self.is_allowed(pool)[first]
        propensities = draft.propensities
        if propensities is not None:
            propensities = propensities[:k] if is_kept.all() else propensities[:k][is_kept]
        return Draft(first if is_kept.all() else first[is_kept], draft.values, propensities)
