"""What models whose blocks attend share: their settings, and how the encoder is made of them."""

from typing import ClassVar

from pydantic import Field, model_validator

from recmodels.encoders.transformer import TransformerEncoder
from recmodels.models._sequence import SequenceConfig


class HeadsConfig(SequenceConfig):
    """Settings of a sequence model whose blocks attend, whatever the blocks."""

    num_layers: int = Field(2, ge=1)
    """Blocks."""
    num_heads: int = Field(2, ge=1)
    """Attention heads a block; must divide `embedding_dim`."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "HeadsConfig":
        if self.embedding_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide embedding_dim {self.embedding_dim}")
        return self


class AttentionConfig(HeadsConfig):
    """Settings of a transformer."""

    encoder: ClassVar[type[TransformerEncoder]] = TransformerEncoder

    def build_encoder(self) -> TransformerEncoder:
        """Return a new transformer of the model's blocks."""
        return self.encoder(
            self.embedding_dim,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            max_length=self.max_length,
            dropout=self.dropout,
        )
