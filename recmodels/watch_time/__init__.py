"""The catalogue of heads for watch time: each module of this folder turns a state into expected seconds."""

from typing import TYPE_CHECKING

from recmodels.parts import PartRegistry

if TYPE_CHECKING:
    from recmodels.watch_time._contract import WatchTimeHead

__all__ = ["WATCH_HEADS"]

WATCH_HEADS: "PartRegistry[WatchTimeHead]" = PartRegistry("recmodels.watch_time", "WatchHead", "watch-time head")
