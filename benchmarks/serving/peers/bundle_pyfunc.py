"""A bundle as a model for MLflow, as code: the same ranker that the gateway runs, behind another server."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from recmodels.bundle import load_bundle
from recmodels.ranker import Ranker


class Bundled(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # untyped
    """Answers the ten best items that a history does not hold."""

    def load_context(self, context: Any) -> None:
        """Read the bundle."""
        folder = Path(context.artifacts["bundle"])
        digest = context.model_config["digest"]
        if folder.name != digest:
            folder = folder.rename(folder.with_name(digest))
        self.ranker = Ranker(load_bundle(folder.parent, digest))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[list[str]]:  # noqa: ARG002 - MLflow's
        """Rank for histories given as rows of item ids, the oldest first."""
        rows = np.asarray(model_input)
        return [list(self.ranker.recommend([str(item) for item in row], k=10).item_ids) for row in rows]


mlflow.models.set_model(Bundled())
