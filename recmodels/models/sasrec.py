"""SASRec: a causal transformer that predicts, after every event, the next one."""

from recmodels.models._attention import AttentionConfig
from recmodels.models._sequence import SequenceModel


class Model(SequenceModel):
    """Attends to all items of a history.

    Source: Kang and McAuley 2018; the loss is a softmax over sampled items rather than their binary one, as in
    Klenitskiy and Vasilev 2023.
    """

    class Config(AttentionConfig):
        """Settings of SASRec."""
