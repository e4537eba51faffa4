"""What a ranker's graph takes and answers: the names that its export and its scorer agree on."""

from typing import Final

from onnx import TensorProto

ITEM, FIELDS, NUMBERS, SURFACES = "item", "fields", "numbers", "surfaces"
DURATION, HISTORY, IS_ITEM, REQUEST = "duration", "history", "is_item", "request"
LOGITS, WATCH = "logits", "watch"

INPUTS: Final = {
    ITEM: (TensorProto.FLOAT, 2),
    FIELDS: (TensorProto.FLOAT, 3),
    NUMBERS: (TensorProto.FLOAT, 2),
    SURFACES: (TensorProto.INT64, 1),
    DURATION: (TensorProto.FLOAT, 1),
    HISTORY: (TensorProto.FLOAT, 3),
    IS_ITEM: (TensorProto.BOOL, 2),
    REQUEST: (TensorProto.INT64, 1),
}
"""In the order of `recmodels.ranking.embeddings.Vectors`."""
OUTPUTS: Final = {LOGITS: (TensorProto.FLOAT, 2), WATCH: (TensorProto.FLOAT, 1)}
