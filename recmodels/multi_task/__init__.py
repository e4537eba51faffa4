"""The catalogue of what tasks share: each module of this folder turns one state into a state for every task."""

from typing import TYPE_CHECKING

from recmodels.parts import PartRegistry

if TYPE_CHECKING:
    from recmodels.multi_task._contract import Sharing

__all__ = ["SHARING"]

SHARING: "PartRegistry[Sharing]" = PartRegistry("recmodels.multi_task", "MultiTask", "multi-task network")
