"""Assembling an epoch's batches, beside a data loader of torch that takes row after row."""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.table import Figure
from benchmarks.training.measure import Options, in_turn, ratio, timed, words
from recmodels.data.batches import length_buckets, pad
from recmodels.data.histories import Histories

ROWS, LENGTH, BATCH = 100_000, 50, 128
_TARGET = 0.05


class Rows(Dataset[Tensor]):
    """One padded row at a time, as the tutorials have it."""

    def __init__(self, rows: Sequence[NDArray[np.int32]], length: int) -> None:
        self._rows = rows
        self._length = length

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Tensor:
        """Return the last items of a row, padded on the left."""
        padded = torch.zeros(self._length, dtype=torch.int64)
        items = torch.from_numpy(self._rows[row][-self._length :])
        padded[self._length - len(items) :] = items
        return padded


def figures(options: Options) -> list[Figure]:
    """Assemble one epoch in both ways."""
    torch.set_num_threads(options.threads)
    histories = random_histories(options.sized(ROWS), seed=options.seed)
    rows = [histories.row(number) for number in range(len(histories))]
    seeds = iter(range(2 * options.rounds))
    costs = in_turn(
        {
            "everfeed": lambda: timed(lambda: deque(epoch(histories, seed=next(seeds)), maxlen=0)),
            "row by row": lambda: timed(lambda: deque(epoch_by_rows(rows, seed=next(seeds)), maxlen=0)),
        },
        rounds=options.rounds,
    )
    found = ratio(costs, "everfeed", "row by row")
    note = f"{len(histories):,} rows, batches of {BATCH}, {LENGTH} positions at most; {words(costs)}"
    return [Figure("batch assembly / row-wise DataLoader", f"<= {_TARGET}", f"{found:.3f}", found <= _TARGET, note)]


def random_histories(count: int, *, seed: int) -> Histories:
    """Return histories whose lengths are log-normal around 20."""
    rng = np.random.default_rng(seed)
    lengths = np.maximum(1, rng.lognormal(3.0, 0.8, count)).astype(np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    items = rng.integers(2, 100_000, total, dtype=np.int32)
    return Histories(items, np.arange(total, dtype=np.int64), ends - lengths, ends)


def epoch(histories: Histories, *, seed: int) -> Iterator[Tensor]:
    """Assemble every batch as the trainer does."""
    recent = histories.last(LENGTH)
    lengths = recent.lengths
    for rows in length_buckets(lengths, batch_size=BATCH, rng=np.random.default_rng(seed)):
        yield torch.from_numpy(pad(recent.take(rows), length=int(lengths[rows].max()))).to(torch.int64)


def epoch_by_rows(rows: Sequence[NDArray[np.int32]], *, seed: int) -> Iterator[Tensor]:
    """Assemble every batch by `torch.utils.data.DataLoader`."""
    generator = torch.Generator().manual_seed(seed)
    return iter(DataLoader(Rows(rows, LENGTH), batch_size=BATCH, shuffle=True, generator=generator))
