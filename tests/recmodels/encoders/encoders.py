"""One small encoder of each kind."""

import torch
from torch import nn

from recmodels.encoders.cnn import CnnEncoder
from recmodels.encoders.gru import GruEncoder
from recmodels.encoders.hstu import HstuEncoder
from recmodels.encoders.ligr import LigrEncoder
from recmodels.encoders.pooled import PooledEncoder
from recmodels.encoders.transformer import TransformerEncoder

SIZE = 16
LONGEST = 12


def hstu(*, uses_time):
    return HstuEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, uses_time=uses_time, dropout=0.5)


class Timed(nn.Module):
    """An encoder that reads times, with events at the same times always: the longer ago, the further apart."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.kept_numbers = encoder.kept_numbers

    def forward(self, vectors, is_item):
        return self.encoder(vectors, is_item, self.times(*is_item.shape))

    def last(self, vectors, is_item):
        return self.encoder.last(vectors, is_item, self.times(*is_item.shape))

    def times(self, batch, length):
        return 1_700_000_000_000_000 - (7 ** torch.arange(length).flip(0) * 100_000).expand(batch, length)


ENCODERS = {
    "cnn": lambda: CnnEncoder(SIZE, num_layers=2, kernel_size=3, dropout=0.5),
    "gru": lambda: GruEncoder(SIZE, hidden_dim=24, num_layers=2, dropout=0.5),
    "hstu": lambda: hstu(uses_time=False),
    "hstu_timed": lambda: hstu(uses_time=True),
    "ligr": lambda: LigrEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, dropout=0.5),
    "pooled": lambda: PooledEncoder(SIZE, hidden_dim=24, num_means=2, max_length=LONGEST, dropout=0.5),
    "transformer": lambda: TransformerEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, dropout=0.5),
}
