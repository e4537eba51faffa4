"""GRU: a recurrent network that predicts, after every event, the next one."""

from pydantic import Field

from recmodels.encoders.gru import GruEncoder
from recmodels.models._sequence import SequenceConfig, SequenceModel


class Model(SequenceModel):
    """Carries one state from item to item.

    Source: Hidasi, Karatzoglou, Baltrunas and Tikk 2016 (GRU4Rec); the objective is that of all sequence models here,
    as in Klenitskiy and Vasilev 2023.
    """

    class Config(SequenceConfig):
        """Settings of GRU."""

        num_layers: int = Field(1, ge=1)
        """Recurrences on top of each other."""
        hidden_dim: int = Field(128, ge=1)
        """Size of the state."""

        def build_encoder(self) -> GruEncoder:
            """Return the recurrent network."""
            return GruEncoder(
                self.embedding_dim, hidden_dim=self.hidden_dim, num_layers=self.num_layers, dropout=self.dropout
            )
