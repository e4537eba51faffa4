"""A model for MLflow that does nothing, as code."""

from typing import Any

import mlflow


class Noop(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # untyped
    """Answers zero."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[int]:  # noqa: ARG002 - the contract
        """Answer zero."""
        return [0]


mlflow.models.set_model(Noop())
