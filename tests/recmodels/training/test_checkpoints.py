import pytest
import torch
from torch import nn

from recmodels.errors import CheckpointError
from recmodels.training.checkpoints import (
    Checkpoint,
    EpochMetrics,
    Progress,
    kept_epochs,
    load_best,
    load_checkpoint,
    pack,
    save_best,
    save_checkpoint,
    unpack,
)


def epoch(number, ndcg):
    return EpochMetrics(number, loss=1.5, ndcg_at_10=ndcg, recall_at_10=0.2, seconds=0.5)


def checkpoint(*ndcgs, run="run-1", is_finished=False):
    epochs = tuple(epoch(number, ndcg) for number, ndcg in enumerate(ndcgs, start=1))
    return Checkpoint(Progress(run, epochs, is_finished), {"model.w": torch.arange(3.0) + len(ndcgs)})


def save(folder, *ndcgs):
    """Save a checkpoint after so many epochs, as a training does: the best weights first."""
    kept = checkpoint(*ndcgs)
    if kept.progress.best_epoch == len(ndcgs):
        save_best(folder, len(ndcgs), {"weight": torch.full((1, 3), float(len(ndcgs)))})
    save_checkpoint(folder, kept)


def test_the_newest_checkpoint_is_loaded_when_several_were_written(tmp_path):
    assert kept_epochs(tmp_path / "none") == 0
    save(tmp_path, 0.1)
    save(tmp_path, 0.1, 0.3)
    assert kept_epochs(tmp_path) == 2
    loaded = load_checkpoint(tmp_path, run="run-1")
    assert loaded.progress == checkpoint(0.1, 0.3).progress
    assert loaded.tensors["model.w"].tolist() == [2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-000002.safetensors", "epoch-000002"]


def test_the_best_weights_stay_as_they_were_when_later_epochs_are_worse(tmp_path):
    save(tmp_path, 0.3)
    written = (tmp_path / "best-000001.safetensors").stat().st_mtime_ns
    save(tmp_path, 0.3, 0.1)
    save(tmp_path, 0.3, 0.1, 0.2)
    assert (tmp_path / "best-000001.safetensors").stat().st_mtime_ns == written
    model = nn.Linear(3, 1, bias=False)
    load_best(tmp_path, load_checkpoint(tmp_path, run="run-1").progress.best_epoch, model)
    assert model.weight.tolist() == [[1, 1, 1]]


def test_a_checkpoint_is_whole_when_a_better_epoch_was_written_after_it(tmp_path):
    save(tmp_path, 0.1)
    save_best(tmp_path, 2, {"weight": torch.zeros(1, 3)})  # killed here, before the checkpoint that names it
    assert load_checkpoint(tmp_path, run="run-1").progress.best_epoch == 1


def test_nothing_is_loaded_when_there_is_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path / "never", run="run-1") is None


def test_an_unfinished_write_is_ignored_when_the_process_was_killed_in_it(tmp_path):
    save(tmp_path, 0.1)
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".writing-x" / "state.safetensors").write_bytes(b"half")
    assert len(load_checkpoint(tmp_path, run="run-1").progress.epochs) == 1


def test_loading_is_refused_when_the_checkpoint_is_of_another_run(tmp_path):
    save(tmp_path, 0.1)
    with pytest.raises(CheckpointError, match=r"belongs to run run-1, not to run-2.*Delete the folder"):
        load_checkpoint(tmp_path, run="run-2")


@pytest.mark.parametrize(
    "name", ["epoch-000001/state.safetensors", "epoch-000001/progress.json", "best-000001.safetensors"]
)
@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_loading_is_refused_when_a_file_is_damaged(tmp_path, name, damage):
    save(tmp_path, 0.1)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"(cannot be read|was altered)"):
        load_checkpoint(tmp_path, run="run-1")


def test_the_earliest_of_equal_epochs_is_best_when_they_tie():
    assert checkpoint(0.1, 0.3, 0.3, 0.2).progress.best_epoch == 2
    assert Progress("run-1", (), is_finished=False).best_epoch == 0


def test_training_ends_when_patience_or_epochs_run_out():
    progress = Progress("run-1", (), is_finished=False)
    ended = []
    for number, ndcg in enumerate([0.1, 0.3, 0.2, 0.3], start=1):
        progress = progress.after(epoch(number, ndcg), most=9, patience=2)
        ended.append(progress.is_finished)
    assert ended == [False, False, False, True]
    assert Progress("run-1", (), is_finished=False).after(epoch(1, 0.1), most=1, patience=9).is_finished


def stepped(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()


def test_steps_are_bit_equal_when_a_state_was_packed_and_unpacked():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    stepped(model, optimizer, 3)
    tensors = {name: value.clone() for name, value in pack(model, {"optimizer": optimizer}).items()}
    stepped(model, optimizer, 2)

    other = nn.Linear(3, 2)
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.1)
    unpack(tensors, other, {"optimizer": other_optimizer})
    stepped(other, other_optimizer, 2)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.bias, model.bias)
