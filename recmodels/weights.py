"""A model's trained weights in its bundle: for training to go on from, never for serving."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from recmodels.arrays import check_finite
from recmodels.errors import BundleError
from recmodels.lineage import WEIGHTS, has_weights
from recmodels.scorers import EncoderScorer

if TYPE_CHECKING:  # the bundle writes what this module saves
    from recmodels.bundle import Bundle

Weights = Mapping[str, NDArray[np.float32]]


def save_weights(folder: Path, weights: Weights, *, item_vectors: NDArray[np.float32] | None) -> None:
    """Write weights into a bundle's folder, without those that the bundle holds as its item vectors already.

    Args:
        folder: Of the bundle.
        weights: By their names in the model.
        item_vectors: (V, D) of an encoder's scorer.
    """
    kept = {name: np.ascontiguousarray(array) for name, array in weights.items() if not _same(array, item_vectors)}
    path = folder / WEIGHTS
    path.parent.mkdir()
    save_file(kept, path)


def load_weights(bundle: "Bundle") -> dict[str, NDArray[np.float32]]:
    """Return the weights of a bundle, whose files were compared with its digest when it was loaded.

    A table that was left out because it is the item vectors is not in the answer.

    Raises:
        BundleError: It holds none, or they are damaged.
    """
    if not has_weights(bundle.manifest.files):
        raise BundleError(
            f"bundle {bundle.digest[:12]} holds no trained weights. Train from scratch: warm_start.enabled=false."
        )
    try:
        arrays: dict[str, NDArray[np.float32]] = load_file(bundle.path / WEIGHTS)
        for name, array in arrays.items():
            _check(name, array)
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(
            f"the weights of bundle {bundle.digest[:12]} cannot be read: {error}. Train from scratch: "
            "warm_start.enabled=false."
        ) from error
    return arrays


def _check(name: str, array: NDArray[np.float32]) -> None:
    if array.dtype != np.float32:
        raise ValueError(f"{name!r} is {array.dtype}, expected float32")
    check_finite(array, file=WEIGHTS, name=name)


def vectors_of(bundle: "Bundle") -> NDArray[np.float32]:
    """Return the item vectors of a bundle, (V, D): what an item table is where `load_weights` lacks it.

    Raises:
        BundleError: Its scorer has none.
    """
    if not isinstance(bundle.scorer, EncoderScorer):
        raise BundleError(f"bundle {bundle.digest[:12]} has a scorer of kind {bundle.scorer.kind!r}, without vectors.")
    return bundle.scorer.item_vectors


def _same(array: NDArray[np.float32], item_vectors: NDArray[np.float32] | None) -> bool:
    return item_vectors is not None and np.array_equal(array, item_vectors)
