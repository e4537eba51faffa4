"""Re-ranking: what is shown of the best candidates, by the stages that the folder `stages` holds."""

from recmodels.registry import Registry

__all__ = ["STAGES"]

STAGES = Registry("recmodels.reranking.stages", "Stage", "re-ranking stage")
"""The stages: one module of `recmodels.reranking.stages` each."""
