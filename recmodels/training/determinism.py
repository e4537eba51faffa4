"""What makes training repeatable to the bit: one seed an epoch, fixed threads, deterministic algorithms."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils import deterministic as _deterministic

from recmodels.data.splits import TrainPart
from recmodels.recipe import Recipe

_ROWS_AT_ONCE = 4096

deterministic: Any = _deterministic  # its one setting is a property of the module itself, which types do not know


@contextmanager
def reproducible(*, threads: int, device: str) -> Iterator[None]:
    """Fix torch's threads, choice of algorithms and generators, and put them back as they were afterwards.

    Sums differ in their last bits with the number of threads, so that it is part of what is fixed.

    Args:
        threads: Within an operation.
        device: Such as ``"cpu"`` or ``"cuda"``; outside the CPU an algorithm that has no deterministic form is used
            with a warning.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=None if torch.device(device).type == "cuda" else []):
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=True, warn_only=torch.device(device).type != "cpu")
        deterministic.fill_uninitialized_memory = False  # a pass over every new tensor, which we never read
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(mode=before[1], warn_only=warned)
            deterministic.fill_uninitialized_memory = filled


def seed_epoch(seed: int, epoch: int) -> np.random.Generator:
    """Seed torch for one epoch and return NumPy's generator for it; epoch 0 is the weights' beginning."""
    sequence = np.random.SeedSequence([seed, epoch])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return np.random.default_rng(sequence)


def run_identity(recipe: Recipe, data: TrainPart, *, seed: int, device: str, parent: str = "") -> str:
    """Return a SHA-256 of all that decides the weights: recipe, training data, seed, kind of device, parent."""
    digest = hashlib.sha256(f"{recipe.digest} {seed} {torch.device(device).type}{parent}".encode())
    train = data.train
    for array in (train.items, train.timestamps):
        for start in range(0, len(train), _ROWS_AT_ONCE):  # mapped histories may be larger than memory
            rows = train.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(train))))
            digest.update(array[rows.positions()].tobytes())
            rows.release()
    ends = np.cumsum(train.lengths)
    for edges in (ends - train.lengths, ends):
        digest.update(edges.tobytes())
    if data.is_target is not None:
        digest.update(np.packbits(data.is_target).tobytes())
    ids = data.vocabulary.ids
    for start in range(0, len(ids), _ROWS_AT_ONCE):  # a text of all of a large catalogue would outweigh a batch
        text = "\n".join(ids[start : start + _ROWS_AT_ONCE].tolist())
        digest.update(f"\n{text}".encode() if start else text.encode())
    return digest.hexdigest()
