"""SASRec as another library trains it: `python benchmarks/training_peers.py {rectools,recbole} FOLDER`.

Runs in that library's own environment and imports nothing of the project; `benchmarks.training_curves` starts it. The
folder holds `train.parquet` (columns user, position, item; in order), `queries.parquet` (column items: one history a
row) and `settings.json`. After every epoch it writes the ten best unseen items of each query to `lists_NNN.npy` and a
line to `epochs.jsonl`, until `budget_seconds` of training are spent or a file `stop` appears.

Processor time counts from the first step and stands still while lists are made: what the library does before training,
and how it would validate, is not counted.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

K = 10
_QUERIES_AT_ONCE = 128


class Record:
    """What is written after every epoch.

    Args:
        folder: Where the queries are and the record is written.
        settings: With `budget_seconds`.

    Attributes:
        spent: Processor time of training so far, in seconds.
        queries: Histories, oldest event first.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.queries = [np.asarray(row) for row in pd.read_parquet(folder / "queries.parquet")["items"]]
        self._folder = folder
        self._budget = settings["budget_seconds"]
        self.spent = 0.0
        self._epochs = 0
        self._since = 0.0

    def start(self) -> None:
        """Let the clock run."""
        self._since = time.process_time()

    def pause(self) -> None:
        """Let the clock stand."""
        self.spent += time.process_time() - self._since

    def add(self, lists: np.ndarray) -> bool:
        """Write an epoch's lists and return whether training goes on.

        Args:
            lists: (Q, K) items, best first.
        """
        self._epochs += 1
        np.save(self._folder / f"lists_{self._epochs:03}.npy", lists.astype(np.int64))
        line = {"epoch": self._epochs, "cpu_seconds": self.spent, "load": os.getloadavg()[0]}
        with (self._folder / "epochs.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return self.spent < self._budget and not (self._folder / "stop").exists()

    def chunks(self) -> Iterator[list[np.ndarray]]:
        """Yield some queries at a time."""
        for start in range(0, len(self.queries), _QUERIES_AT_ONCE):
            yield self.queries[start : start + _QUERIES_AT_ONCE]


def best_unseen(scores: torch.Tensor, seen: list[np.ndarray]) -> np.ndarray:
    """Return the (B, K) columns of the highest scores, those of each row's `seen` left out.

    Args:
        scores: (B, N); columns that are no item hold -inf.
        seen: Columns of each row's history.
    """
    scores = scores.clone()
    for row, columns in enumerate(seen):
        scores[row, torch.as_tensor(columns)] = -torch.inf
    return scores.topk(K, dim=1).indices.numpy()


def train_rectools(folder: Path, settings: dict[str, Any], record: Record) -> None:
    """Train `SASRecModel` with its own data loader and Lightning's trainer."""
    import pytorch_lightning
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    rows = pd.read_parquet(folder / "train.parquet")
    interactions = pd.DataFrame(
        {
            Columns.User: rows["user"],
            Columns.Item: rows["item"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp(2000, 1, 1) + pd.to_timedelta(rows["position"], unit="s"),
        }
    )

    class AfterEpoch(pytorch_lightning.Callback):
        def on_train_start(self, *_: Any) -> None:
            record.start()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            record.pause()
            module.torch_model.eval()
            with torch.no_grad():
                lists = np.concatenate([_rectools_lists(model, module, chunk) for chunk in record.chunks()])
            module.torch_model.train()
            trainer.should_stop = not record.add(lists)
            record.start()

    def trainer() -> Any:
        return pytorch_lightning.Trainer(
            accelerator="cpu",
            max_epochs=settings["epochs"],
            min_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[AfterEpoch()],
        )

    model = SASRecModel(
        n_factors=settings["embedding_dim"],
        n_blocks=settings["num_layers"],
        n_heads=settings["num_heads"],
        session_max_len=settings["max_length"],
        dropout_rate=settings["dropout"],
        loss=settings["loss"],
        n_negatives=settings["negatives"],
        lr=settings["learning_rate"],
        batch_size=settings["batch_size"],
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions))


def _rectools_lists(model: Any, module: Any, queries: list[np.ndarray]) -> np.ndarray:
    """Rank as the library's `recommend` does: the last position's vector times all item vectors."""
    preparator = model.data_preparator
    names = preparator.item_id_map.get_external_sorted_by_internal()
    # of long histories the library keeps the end only, so that it may not know items of the beginning
    inner = [preparator.item_id_map.convert_to_internal(query, strict=False) for query in queries]
    x = np.zeros((len(queries), preparator.session_max_len), dtype=np.int64)
    for row, items in enumerate(inner):
        recent = items[-x.shape[1] :]
        x[row, x.shape[1] - len(recent) :] = recent
    items = module.torch_model.item_model.get_all_embeddings()
    states = module.torch_model.encode_sessions({"x": torch.from_numpy(x)}, items)[:, -1]
    scores = states @ items.T
    scores[:, : preparator.n_item_extra_tokens] = -torch.inf
    return np.asarray(names[best_unseen(scores, inner)].tolist())


def train_recbole(folder: Path, settings: dict[str, Any], record: Record) -> None:
    """Train `SASRec` with its own dataset, loader and trainer, epoch by epoch as the trainer's `fit` does."""
    from recbole.config import Config
    from recbole.data.dataset import SequentialDataset
    from recbole.data.utils import get_dataloader
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    rows = pd.read_parquet(folder / "train.parquet")
    home = folder / "recbole" / "train"
    home.mkdir(parents=True, exist_ok=True)
    header = {"user": "user_id:token", "item": "item_id:token", "position": "timestamp:float"}
    rows.rename(columns=header)[list(header.values())].to_csv(home / "train.inter", sep="\t", index=False)
    config = Config(
        model="SASRec",
        dataset="train",
        config_dict={
            "data_path": str(home.parent),
            "checkpoint_dir": str(folder / "recbole" / "saved"),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "use_gpu": False,
            "show_progress": False,
            "train_neg_sample_args": None,
            "loss_type": "CE",
            "hidden_size": settings["embedding_dim"],
            "n_layers": settings["num_layers"],
            "n_heads": settings["num_heads"],
            "MAX_ITEM_LIST_LENGTH": settings["max_length"],
            "hidden_dropout_prob": settings["dropout"],
            "attn_dropout_prob": settings["dropout"],
            "train_batch_size": settings["batch_size"],
            "learning_rate": settings["learning_rate"],
            # all events are for training: the queries' targets were never given
            "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": None, "mode": "full"},
        },
    )
    init_seed(config["seed"], config["reproducibility"])
    dataset = SequentialDataset(config)
    train = dataset.build()[0]
    model = SASRec(config, train)
    loader = get_dataloader(config, "train")(config, train, None, shuffle=True)
    trainer = Trainer(config, model)
    for epoch in range(settings["epochs"]):
        model.train()
        record.start()
        trainer._train_epoch(loader, epoch, show_progress=False)
        record.pause()
        model.eval()
        with torch.no_grad():
            lists = np.concatenate([_recbole_lists(model, dataset, chunk) for chunk in record.chunks()])
        if not record.add(lists):
            return


def _recbole_lists(model: Any, dataset: Any, queries: list[np.ndarray]) -> np.ndarray:
    from recbole.data.interaction import Interaction

    numbers = dataset.field2token_id["item_id"]
    inner = [np.array([numbers[str(item)] for item in query]) for query in queries]
    x = torch.zeros((len(queries), model.max_seq_length), dtype=torch.int64)
    lengths = torch.tensor([min(len(items), model.max_seq_length) for items in inner])
    for row, items in enumerate(inner):
        x[row, : lengths[row]] = torch.from_numpy(items[-model.max_seq_length :])
    scores = model.full_sort_predict(Interaction({model.ITEM_SEQ: x, model.ITEM_SEQ_LEN: lengths}))
    scores[:, 0] = -torch.inf
    names = dataset.field2id_token["item_id"]
    return names[best_unseen(scores, inner)].astype(np.int64)


LIBRARIES = {"rectools": train_rectools, "recbole": train_recbole}


def main(arguments: list[str]) -> int:
    """Train by one library."""
    library, folder = arguments[0], Path(arguments[1]).resolve()
    settings = json.loads((folder / "settings.json").read_text())
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    packages = {"python": sys.version.split()[0], "torch": torch.__version__, library: version(library)}
    (folder / "versions.json").write_text(json.dumps(packages))
    LIBRARIES[library](folder, settings, Record(folder, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
