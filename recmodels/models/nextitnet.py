"""NextItNet: dilated causal convolutions that predict, after every event, the next one."""

from pydantic import Field

from recmodels.encoders.cnn import CnnEncoder
from recmodels.models._sequence import SequenceConfig, SequenceModel


class Model(SequenceModel):
    """Looks at the items before through convolutions of doubling dilation.

    Source: Yuan, Karatzoglou, Arapakis, Jose and He 2019; the loss is a softmax over sampled items, and items have one
    vector as input and output.
    """

    class Config(SequenceConfig):
        """Settings of NextItNet."""

        num_layers: int = Field(2, ge=1, le=8)
        """n, blocks of two convolutions; (kernel_size - 1) (4^n - 1) items before an item's own are seen."""
        kernel_size: int = Field(3, ge=2)
        """Positions that a convolution sees."""

        def build_encoder(self) -> CnnEncoder:
            """Return the convolutions."""
            return CnnEncoder(
                self.embedding_dim,
                num_layers=self.num_layers,
                kernel_size=self.kernel_size,
                dropout=self.dropout,
            )
