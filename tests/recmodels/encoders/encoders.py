"""One small encoder of each kind."""

from recmodels.encoders.cnn import CnnEncoder
from recmodels.encoders.gru import GruEncoder
from recmodels.encoders.ligr import LigrEncoder
from recmodels.encoders.pooled import PooledEncoder
from recmodels.encoders.transformer import TransformerEncoder

SIZE = 16
LONGEST = 12

ENCODERS = {
    "cnn": lambda: CnnEncoder(SIZE, num_layers=2, kernel_size=3, dropout=0.5),
    "gru": lambda: GruEncoder(SIZE, hidden_dim=24, num_layers=2, dropout=0.5),
    "ligr": lambda: LigrEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, dropout=0.5),
    "pooled": lambda: PooledEncoder(SIZE, hidden_dim=24, num_means=2, max_length=LONGEST, dropout=0.5),
    "transformer": lambda: TransformerEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, dropout=0.5),
}
