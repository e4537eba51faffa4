"""Training that is killed goes on from its last checkpoint to the bit: safetensors and JSON, complete or absent.

An epoch's randomness comes from the seed and the epoch's number alone, so that a checkpoint after an epoch needs no
state of a generator. The best epoch's weights lie in a file of their own, written once; checkpoints name it.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recmodels.errors import CheckpointError

_TENSORS = "state.safetensors"
_PROGRESS = "progress.json"
_PREFIX, _BEST = "epoch-", "best-"
_START_OVER = "Delete the folder to start over."


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch reached.

    Attributes:
        epoch: Counted from 1.
        loss: Mean over the epoch's steps.
        ndcg_at_10: On the validation queries, after the epoch.
        recall_at_10: Likewise.
        seconds: The epoch took, validation included.
    """

    epoch: int
    loss: float
    ndcg_at_10: float
    recall_at_10: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes:
        run: Identity of what is trained: recipe, data, seed, device.
        epochs: Every finished epoch.
        is_finished: No epoch is to follow.
    """

    run: str
    epochs: tuple[EpochMetrics, ...]
    is_finished: bool

    @property
    def best_epoch(self) -> int:
        """The epoch of the highest validation ndcg_at_10, the earliest of equals; 0 before the first."""
        return max(self.epochs, key=lambda epoch: (epoch.ndcg_at_10, -epoch.epoch)).epoch if self.epochs else 0

    def after(self, epoch: EpochMetrics, *, most: int, patience: int) -> "Progress":
        """Return the progress with one epoch more.

        Args:
            epoch: What it reached.
            most: Epochs after which training ends.
            patience: Epochs without a better one after which training ends.
        """
        longer = Progress(self.run, (*self.epochs, epoch), is_finished=False)
        is_finished = epoch.epoch >= most or epoch.epoch - longer.best_epoch >= patience
        return replace(longer, is_finished=is_finished)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training's state after an epoch.

    Attributes:
        progress: Where it stands.
        tensors: Weights (`model.*`) and the state of each optimizer, by its name.
    """

    progress: Progress
    tensors: dict[str, Tensor]


def best_file(folder: Path, epoch: int) -> Path:
    """Return where an epoch's weights are kept while none is better."""
    return folder / f"{_BEST}{epoch:06d}.safetensors"


def save_best(folder: Path, epoch: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of the best epoch so far; what a checkpoint names stays.

    Args:
        folder: Of the checkpoints.
        epoch: Whose weights they are.
        weights: By name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = best_file(folder, epoch)
    temporary = file.with_suffix(".writing")
    save_file(_on_cpu(weights), temporary)
    temporary.rename(file)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under its own name, then remove what is older.

    Args:
        folder: Where `save_best` has put the weights of the best epoch.
        checkpoint: To be written.
    """
    best = best_file(folder, checkpoint.progress.best_epoch)
    target = folder / f"{_PREFIX}{len(checkpoint.progress.epochs):06d}"
    shutil.rmtree(target, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        save_file(checkpoint.tensors, temporary / _TENSORS)
        digests = {"sha256": _sha256(temporary / _TENSORS), "best_sha256": _sha256(best)}
        progress = {**asdict(checkpoint.progress), **digests}
        (temporary / _PROGRESS).write_text(json.dumps(progress))
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for older in folder.glob(f"{_PREFIX}*"):
        if older.name < target.name:
            shutil.rmtree(older)
    for worse in folder.glob(f"{_BEST}*"):
        if worse != best:
            worse.unlink()


def kept_epochs(folder: Path) -> int:
    """Return how many epochs the newest checkpoint has behind it; 0 where there is none."""
    found = sorted(folder.glob(f"{_PREFIX}*"))
    return int(found[-1].name.removeprefix(_PREFIX)) if found else 0


def load_checkpoint(folder: Path, *, run: str) -> Checkpoint | None:
    """Return the newest checkpoint, or None where there is none.

    Args:
        folder: What `save_checkpoint` was given.
        run: Identity of what is to be trained.

    Raises:
        CheckpointError: The checkpoint is damaged, or belongs to another recipe, snapshot, seed or device.
    """
    found = sorted(folder.glob(f"{_PREFIX}*"))
    if not found:
        return None
    path = found[-1]
    try:
        values = json.loads((path / _PROGRESS).read_text())
        epochs = tuple(EpochMetrics(**epoch) for epoch in values["epochs"])
        progress = Progress(values["run"], epochs, values["is_finished"])
        best = best_file(folder, progress.best_epoch)
        if (_sha256(path / _TENSORS), _sha256(best)) != (values["sha256"], values["best_sha256"]):
            raise CheckpointError(
                f"checkpoint {path} or {best.name} beside it was altered after it was written. {_START_OVER}"
            )
        tensors = load_file(path / _TENSORS)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error!r}). {_START_OVER}") from error
    if progress.run != run:
        raise CheckpointError(
            f"checkpoint {path} belongs to run {progress.run[:12]}, not to {run[:12]}: the recipe, the data, the seed "
            f"or the device differ. {_START_OVER}"
        )
    return Checkpoint(progress, tensors)


def load_best(folder: Path, epoch: int, model: nn.Module) -> None:
    """Load what `save_best` wrote into a model of the same shapes."""
    model.load_state_dict(load_file(best_file(folder, epoch)))


def pack(model: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the state of a training as tensors on the CPU by flat names; those that are there already are no copies.

    Args:
        model: What is trained, its running mean included where there is one.
        optimizers: By names that are no other part's.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for kind, optimizer in optimizers.items():
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{kind}.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    return _on_cpu(tensors)


def unpack(tensors: Mapping[str, Tensor], model: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
    """Load what `pack` returned into a model and its optimizers, which take the moments as they are."""
    model.load_state_dict(_part(tensors, "model."))
    for kind, optimizer in optimizers.items():
        states: dict[int, dict[str, Tensor | int]] = {}
        for name, value in _part(tensors, f"{kind}.").items():
            number, _, field = name.partition(".")
            is_count = value.dtype == torch.int64  # SparseAdam counts its steps in a number of Python
            states.setdefault(int(number), {})[field] = int(value) if is_count else value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
