"""The code of an MLflow model: it reads the bundle beside it by its digest, and makes lists with it.

A row asks with ``history`` (item ids, oldest first: a list, or text as JSON or divided by blanks) or with ``user_id``,
whose history is the home's that ``EVERFEED_HOME`` names; ``k`` and ``surface`` may be given. MLflow runs this file.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from recmodels.bundle import load_bundle
from recmodels.ranker import Ask, Ranker

_K = 10


class ServedBundle(PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Recommends as the gateway does with this bundle, but for what it knows since: takedowns and newcomers."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle.

        Raises:
            BundleError: It is not what its digest says.
        """
        from infra.settings import Settings

        folder, digest = Path(context.artifacts["bundle"]), str(context.model_config["digest"])
        self._settings = Settings()
        self._ranker = Ranker(load_bundle(folder.parent, digest), self._settings.safety)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - the base's
        model_input: pd.DataFrame,
        params: object = None,  # noqa: ARG002 - the base's
    ) -> list[dict[str, Any]]:
        """Return a dict a row: ``item_ids``, their ``scores``, and ``is_popular`` where the model knows no better.

        Raises:
            ValueError: A row has neither a history nor a user, or a `k` below 1.
        """
        rows: list[dict[Any, Any]] = pd.DataFrame(model_input).to_dict("records")
        slates = self._ranker.recommend_many([self._ask(row) for row in rows])
        return [
            {"item_ids": list(one.item_ids), "scores": [float(x) for x in one.scores], "is_popular": one.is_popular}
            for one in slates
        ]

    def _ask(self, row: dict[Any, Any]) -> Ask:
        k = int(row["k"]) if _is_given(row.get("k")) else _K
        surface = str(row["surface"]) if _is_given(row.get("surface")) else None
        if _is_given(row.get("history")):
            return Ask(_items(row["history"]), None, k, surface)
        if _is_given(row.get("user_id")):
            items, moments = self._known(str(row["user_id"]))
            return Ask(items, moments, k, surface)
        raise ValueError(
            f"a row has the columns {sorted(row)} and gives neither `history` nor `user_id`. Give item ids, oldest "
            "first, or a user of the home that EVERFEED_HOME names."
        )

    def _known(self, user_id: str) -> tuple[list[str], list[int]]:
        from infra.database import open_database
        from infra.events import user_key
        from infra.histories import HistoryStore

        database = open_database(self._settings.database)
        try:
            known = HistoryStore(database).last(user_key(user_id, self._settings.user_secret()), limit=1000)
        finally:
            database.close()
        return list(known.item_ids), list(known.timestamps)


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)  # an empty cell is NaN


def _items(value: Any) -> list[str]:
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split()
    return [str(item) for item in value]


set_model(ServedBundle())
