"""One small encoder of each kind."""

from recmodels.encoders.transformer import TransformerEncoder

SIZE = 16
LONGEST = 12

ENCODERS = {
    "transformer": lambda: TransformerEncoder(SIZE, num_layers=2, num_heads=4, max_length=LONGEST, dropout=0.5),
}
