"""Vectors of items that came after a model was trained, by its own item tower: content alone, no id, no training."""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.errors import TrainingError
from recmodels.layers.item_table import DescribedTable
from recmodels.models import MODELS
from recmodels.models._sequence import SequenceModel
from recmodels.weights import load_weights


def content_vectors(bundle: Bundle, items: pa.Table) -> NDArray[np.float32]:
    """Return vectors that stand beside the bundle's item vectors, to be searched by the same queries.

    They are as long as content makes them; a model trained with `id_dropout` has learned to score them as they are.

    Args:
        bundle: Of a sequence model with `content` or `modalities`; its catalogue tells again what text is rare or how
            vectors are scaled, its weights the rest.
        items: Schema `ITEMS`; whether the bundle knows them does not matter.

    Returns:
        (M, D), row by row.

    Raises:
        BundleError: The bundle holds no weights, or damaged ones.
        TrainingError: Its model knows items by their ids alone.
    """
    chosen = bundle.manifest.recipe["model"]
    model = MODELS.build(chosen["name"], MODELS.config(chosen["name"], chosen["config"]), bundle.vocabulary.size)
    if not isinstance(model, SequenceModel) or not isinstance(model.items, DescribedTable):
        raise TrainingError(
            f"bundle {bundle.digest[:12]} is a {chosen['name']} that knows items by their ids alone: it has no vector "
            "for a new one. Train with model.config.content or modalities, or attach newcomers by their creators and "
            "categories."
        )
    weights = load_weights(bundle)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    with torch.no_grad():
        vectors: NDArray[np.float32] = model.items.vectors_from(items, catalogue=bundle.items).numpy()
    return vectors
