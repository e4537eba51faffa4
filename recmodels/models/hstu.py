"""HSTU: pointwise attention that predicts, after every event, the next one, from the order and the times of events."""

from recmodels.encoders.hstu import HstuEncoder
from recmodels.models._attention import HeadsConfig
from recmodels.models._sequence import SequenceModel


class Model(SequenceModel):
    """Attends to all items of a history, without softmax, knowing how far apart they are.

    Source: Zhai et al. 2024 (HSTU); the objective is that of all sequence models here.
    Of time, only what lies between the events of the history is used. Published figures often give the model the time
    of the event to be predicted as well, which says when the user comes back; ours never sees it, neither in training
    nor in evaluation nor when it serves, where the time of the request counts for nothing. An event's own time is known
    once it has happened, so a user who came back after a month is one from the first event after it.

    A history without times (an `Ask` with none) is encoded as if all its events had happened at once.
    """

    class Config(HeadsConfig):
        """Settings of HSTU."""

        time_bias: bool = True
        """Use the times between events; data that have an order only need `false`."""

        def build_encoder(self) -> HstuEncoder:
            """Return the blocks of pointwise attention."""
            return HstuEncoder(
                self.embedding_dim,
                num_layers=self.num_layers,
                num_heads=self.num_heads,
                max_length=self.max_length,
                uses_time=self.time_bias,
                dropout=self.dropout,
            )
