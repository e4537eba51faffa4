"""Several processes that train one model: each takes a share of every batch, and gradients are added up.

Every process has the whole model, draws the same batches and the same negatives, and takes the same steps, so that the
weights stay equal without being sent. The process group is the caller's: `torch.distributed.init_process_group`, which
`torchrun` tells all it needs, with `gloo` on processors and `nccl` on GPUs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    Attributes:
        rank: Number of this process, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the process group's, or one worker where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this worker's rows of a batch, all of them where there are fewer rows than workers."""
        return rows[self.rank :: self.count] if len(rows) >= self.count else rows

    def add_gradients(self, parameters: Sequence[Tensor], loss: Tensor, *, weight: float) -> float:
        """Replace every gradient by the weighted sum over the workers, and return that of the losses.

        Args:
            parameters: With gradients; one that has none counts as zeros, since another worker may have some.
            loss: Of this worker's share.
            weight: Of this worker; the weights of all sum to 1.
        """
        if self.count == 1:
            return loss.item()
        sparse = [one for one in parameters if one.grad is not None and one.grad.is_sparse]
        dense = [one for one in parameters if not any(one is other for other in sparse)]
        flat = [one.grad if one.grad is not None else torch.zeros_like(one) for one in dense]
        joined = torch.cat([loss.detach().reshape(1), *(gradient.reshape(-1) for gradient in flat)]).mul_(weight)
        dist.all_reduce(joined)
        parts = torch.split(joined[1:], [gradient.numel() for gradient in flat])
        for one, part in zip(dense, parts, strict=True):
            one.grad = part.view_as(one)
        for one in sparse:
            assert one.grad is not None
            one.grad = _add_rows(one.grad.coalesce(), weight=weight, count=self.count)
        return joined[0].item()

    def join(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the sum of the workers' arrays, of which each has filled other rows than zero."""
        if self.count == 1:
            return values
        tensor = torch.from_numpy(values).to("cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(tensor)
        joined: NDArray[np.int32] = tensor.cpu().numpy()
        return joined

    def wait(self) -> None:
        """Return when all workers have come here."""
        if self.count > 1:
            dist.barrier()


ALONE: Final = Workers()


def _add_rows(gradient: Tensor, *, weight: float, count: int) -> Tensor:
    """Return the weighted sum of the workers' gradients, each of which knows other rows; see `Workers`."""
    indices, values = gradient.indices()[0], gradient.values() * weight
    sizes = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(count)]
    dist.all_gather(sizes, torch.tensor([len(indices)], device=values.device))
    most = max(int(size) for size in sizes)
    longer = torch.nn.functional.pad(indices, (0, most - len(indices)))  # row 0 gets zeros more
    rows = torch.nn.functional.pad(values, (0, 0, 0, most - len(values)))
    all_indices = [torch.empty_like(longer) for _ in range(count)]
    all_rows = [torch.empty_like(rows) for _ in range(count)]
    dist.all_gather(all_indices, longer)
    dist.all_gather(all_rows, rows)
    joined = torch.sparse_coo_tensor(
        torch.cat(all_indices)[None], torch.cat(all_rows), gradient.shape, check_invariants=True
    )
    return joined.coalesce()
