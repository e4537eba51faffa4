"""The stages of a release in their order, with safety last and always."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recmodels.reranking.config import RerankingConfig, stage_class, stage_config
from recmodels.reranking.contract import Stage
from recmodels.reranking.pool import Draft, Pool
from recmodels.reranking.stages.exploration import Stage as Exploration
from recmodels.reranking.stages.exposure import Stage as Exposure
from recmodels.reranking.stages.safety import Stage as Safety
from recmodels.safety import SafetyPolicy

__all__ = ["Chain", "Effect", "Reranked"]


@dataclass(frozen=True, eq=False)
class Reranked:
    """One list.

    Attributes:
        columns: (n,) int32 of the catalogue, the first to show first.
        scores: (n,) the model's score of each, its utility where a second stage ranked.
        propensities: (n,) probability of each at its place; 1 where nothing is drawn.
    """

    columns: NDArray[np.int32]
    scores: NDArray[np.float32]
    propensities: NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What one stage did.

    Attributes:
        name: Of the stage.
        moved: Of the first k places, those that hold another item than before.
        entered: Items that were not among the first k before.
        kept: Candidates after the stage.
        removed: Candidates that went; the last stages keep k at most.
    """

    name: str
    moved: int
    entered: int
    kept: int
    removed: int


class Chain:
    """Brings candidates into the order that is shown.

    Args:
        config: The stages.
        policy: Terms of the safety filter, which is applied whatever the stages are.
    """

    def __init__(self, config: RerankingConfig, policy: SafetyPolicy | None = None) -> None:
        chosen = [stage_class(one.name)(stage_config(one.name, one.config)) for one in config.stages]
        self._safety = Safety(policy or SafetyPolicy())
        self._stages: tuple[Stage, ...] = (*chosen, self._safety)
        self._names = (*(one.name for one in config.stages), "safety")
        self.pool = config.pool
        configs = {one.name: stage_config(one.name, one.config) for one in config.stages}
        found, fair = configs.get("exploration"), configs.get("exposure")
        self.exploration = found if isinstance(found, Exploration.Config) else None
        """Which cold items are drawn from; None where nothing is explored."""
        self.exposure = fair if isinstance(fair, Exposure.Config) else None
        """How creators' shares are told; None where nobody counts them."""

    def rerank(self, pool: Pool, *, k: int) -> Reranked:
        """Return the list of a pool; shorter than k only where the pool or a strict cap leaves fewer.

        Args:
            pool: The candidates.
            k: Most items, at least 1.
        """
        safe = self._safe(pool)
        draft = self._drafts(safe, k)[-1]
        given = draft.propensities
        propensities = np.ones(len(draft.order)) if given is None else given
        return Reranked(safe.columns[draft.order], safe.told[draft.order], propensities)

    def effects(self, pool: Pool, *, k: int) -> tuple[Effect, ...]:
        """Return what each stage does to a pool; the arguments are those of `rerank`."""
        drafts = self._drafts(self._safe(pool), k)
        pairs = zip(self._names, drafts, drafts[1:], strict=False)
        return tuple(_effect(name, before, after, k=k) for name, before, after in pairs)

    def _safe(self, pool: Pool) -> Pool:
        is_allowed = self._safety.is_allowed(pool)
        return pool if is_allowed.all() else pool.only(is_allowed)

    def _drafts(self, pool: Pool, k: int) -> list[Draft]:
        """Return the order before the first stage and after each."""
        drafts = [pool.start()]
        for stage in self._stages:
            draft = drafts[-1]
            if len(draft.order):
                draft = stage.rerank(pool, draft, k)
                if draft.propensities is None and stage is not self._safety:
                    draft = pool.settled(draft)
            drafts.append(draft)
        return drafts


def _effect(name: str, before: Draft, after: Draft, *, k: int) -> Effect:
    old, new = before.order[:k], after.order[:k]
    length = min(len(old), len(new))
    moved = int((old[:length] != new[:length]).sum()) + abs(len(new) - len(old))
    entered = int((~np.isin(new, old)).sum())
    return Effect(name, moved, entered, len(after.order), len(before.order) - len(after.order))
