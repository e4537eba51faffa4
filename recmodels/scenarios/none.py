"""No adapter: the surface is one field among others, and all else is shared."""

from recmodels.parts import PartConfig
from recmodels.scenarios._contract import ScenarioAdapter


class Scenario(ScenarioAdapter):
    """The identity."""

    class Config(PartConfig):
        """There is nothing to set."""
