"""What a recipe asks of a second stage, and what of it belongs to a release; free of torch."""

from pydantic import Field

from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.utility import Utility
from recmodels.trainer_config import Config, TrainerConfig

_MOST = 1000


class RankingChoice(Config):
    """A ranker: features, network, training, and what its predictions are worth."""

    pool: int = Field(100, ge=1, le=_MOST)
    """Candidates that retrieval finds for it; a longer list has as many as it is long."""
    features: FeatureConfig = FeatureConfig()
    network: NetworkConfig = Field(default_factory=NetworkConfig)  # made late: its parts import torch
    trainer: TrainerConfig = TrainerConfig(epochs=10, batch_size=1024, patience=2)
    """Of the ranker alone; a batch is of exposures."""
    utility: Utility = Utility()
    """Of the first release; see `recmodels.bundle.released`."""
    is_calibrated: bool = True
    """Probabilities are brought in line with the validation part."""

    @property
    def release(self) -> "RankingRelease":
        """What the first release says."""
        return RankingRelease(pool=self.pool, utility=self.utility)


class RankingRelease(Config):
    """How a release uses its ranker."""

    pool: int = Field(100, ge=1, le=_MOST)
    """Candidates that are ranked."""
    utility: Utility = Utility()
    """What makes one number of the predictions."""
