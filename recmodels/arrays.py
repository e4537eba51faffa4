"""Arrays as a bundle keeps them: read from safetensors, and refused unless they are what the reader expects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

_WILD = 1e15


def read_arrays(path: Path, expected: Mapping[str, tuple[type[np.generic], int]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file.

    Args:
        path: A safetensors file.
        expected: Type and number of dimensions of each array that must be in it.

    Raises:
        ValueError: It is no such file, lacks an array or holds another, or one has another type or other dimensions;
            the message starts with the file's name.
    """
    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if arrays.keys() != expected.keys():
        raise ValueError(f"{path.name}: it holds {_names(arrays)}, expected {_names(expected)}")
    for name, (kind, dimensions) in expected.items():
        array = arrays[name]
        if array.dtype != kind or array.ndim != dimensions:
            raise ValueError(
                f"{path.name}: {name!r} is {array.dtype} of shape {array.shape}, "
                f"expected {np.dtype(kind)} of {dimensions} dimensions"
            )
    return arrays


def check_finite(array: NDArray[np.float32], *, file: str, name: str) -> None:
    """Refuse numbers that a score cannot be made of.

    Raises:
        ValueError: Some are not finite.
    """
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ValueError(f"{file}: {name!r} holds {bad} of {array.size} numbers that are not finite")


def is_tame(vectors: NDArray[np.float32]) -> bool:
    """Return whether inner products of such vectors stay far from the end of single precision, (N, D)."""
    return bool(np.abs(vectors).max(initial=0) < _WILD)


def _names(arrays: Mapping[str, object]) -> str:
    return ", ".join(sorted(arrays)) or "nothing"
