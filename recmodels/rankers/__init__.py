"""The catalogue of backbones of rankers: each module of this folder lets the fields of an exposure interact."""

from typing import TYPE_CHECKING

from recmodels.parts import PartRegistry

if TYPE_CHECKING:
    from recmodels.rankers._contract import RankingBackbone

__all__ = ["BACKBONES"]

BACKBONES: "PartRegistry[RankingBackbone]" = PartRegistry("recmodels.rankers", "Backbone", "backbone")
