"""SASRec in torch as a model for MLflow, as code: the same weights and catalogue that the gateway serves."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from recmodels.data.batches import pad
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.models.sasrec import Model

_TOP_K = 10


class TorchSasrec(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # untyped
    """Answers the ten best items that a history does not hold."""

    def load_context(self, context: Any) -> None:
        """Read weights and catalogue."""
        torch.set_num_threads(1)
        folder, bundle = Path(context.artifacts["weights"]), Path(context.artifacts["bundle"])
        facts = json.loads((folder / "model.json").read_text())
        self.model = Model(Model.Config(**facts["config"]), facts["num_items"] + FIRST_ITEM).eval()
        self.model.load_state_dict(load_file(folder / "weights.safetensors"))
        self.vocabulary = Vocabulary.from_table(pq.read_table(bundle / "vocabulary.parquet"))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[list[str]]:  # noqa: ARG002 - MLflow's
        """Rank for histories given as rows of item ids, the oldest first."""
        answers = []
        for row in np.asarray(model_input):
            items = self.vocabulary.encode([str(item) for item in row])
            history = Histories(items, np.arange(len(items)), np.array([0]), np.array([len(items)]))
            inputs = torch.from_numpy(pad(history, length=len(items))).to(torch.int64)
            with torch.no_grad():
                query = self.model.encoder.last(self.model.items.vectors(inputs), inputs != 0)
                scores = (query @ self.model.items.vectors().T)[0]
                scores[:FIRST_ITEM] = -torch.inf
                scores[torch.from_numpy(items.astype(np.int64))] = -torch.inf
                best = torch.topk(scores, _TOP_K).indices.numpy()
            answers.append(self.vocabulary.ids[best - FIRST_ITEM].tolist())
        return answers


mlflow.models.set_model(TorchSasrec())
