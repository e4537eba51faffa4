"""The part of a bundle that ranks: features and the exported network, which must fit each other."""

from dataclasses import dataclass
from pathlib import Path

from recmodels.errors import BundleError
from recmodels.manifest import MAX_BYTES
from recmodels.ranking.scorer import RankingScorer
from recmodels.ranking.state import FeatureState

_FEATURES, _NETWORK = "features", "network"


@dataclass(frozen=True, eq=False)
class RankingModel:
    """What predicts what would come of showing an item; nothing of it is about a person.

    Attributes:
        state: What features are made of.
        scorer: What reads them.
    """

    state: FeatureState
    scorer: RankingScorer

    def __post_init__(self) -> None:
        if self.state.spec != self.scorer.spec:
            raise BundleError(
                "the ranker was trained on other features than those beside it. Take both from one training."
            )

    def save(self, folder: Path) -> None:
        """Write both into `folder`, which is created."""
        self.state.save(folder / _FEATURES)
        (folder / _NETWORK).mkdir()
        self.scorer.save(folder / _NETWORK)

    @classmethod
    def load(cls, folder: Path, *, max_bytes: int = MAX_BYTES) -> "RankingModel":
        """Read what `save` wrote.

        Raises:
            BundleError: A file is missing or damaged, or the two do not fit.
        """
        return cls(FeatureState.load(folder / _FEATURES, max_bytes=max_bytes), RankingScorer.load(folder / _NETWORK))
