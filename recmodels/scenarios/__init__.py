"""The catalogue of scenario adapters: each module of this folder lets one model serve surfaces that differ."""

from typing import TYPE_CHECKING

from recmodels.parts import PartRegistry

if TYPE_CHECKING:
    from recmodels.scenarios._contract import ScenarioAdapter

__all__ = ["SCENARIOS"]

SCENARIOS: "PartRegistry[ScenarioAdapter]" = PartRegistry("recmodels.scenarios", "Scenario", "scenario adapter")
