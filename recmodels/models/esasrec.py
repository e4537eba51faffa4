"""eSASRec: SASRec with gated blocks and SwiGLU."""

from recmodels.encoders.ligr import LigrEncoder
from recmodels.models._attention import AttentionConfig
from recmodels.models._sequence import SequenceModel


class Model(SequenceModel):
    """Attends to all items of a history, through blocks that gate what they add.

    Source: Tikhonovich et al. 2025: SASRec's objective, the blocks of LiGR and a softmax over 256 sampled items. Our
    negatives are shared by a batch rather than drawn for each position.
    """

    class Config(AttentionConfig):
        """Settings of eSASRec."""

        encoder = LigrEncoder
