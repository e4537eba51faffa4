"""What the control room asks of MLflow's API: where a version's run is, and its test metrics with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from infra.console.calls import open_client
from recmodels.errors import StoreError

_TIMEOUT_SECONDS = 5.0
_LOWER, _UPPER = "_lower", "_upper"


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Version(msgspec.Struct):
    version: str
    run_id: str = ""
    tags: list[_Tag] = []


class _Versions(msgspec.Struct):
    model_versions: list[_Version] = []


class _Metric(msgspec.Struct):
    key: str
    value: float


class _Place(msgspec.Struct):
    experiment_id: str


class _Data(msgspec.Struct):
    metrics: list[_Metric] = []


class _Run(msgspec.Struct):
    info: _Place
    data: _Data


class _RunAnswer(msgspec.Struct):
    run: _Run


@dataclass(frozen=True)
class Measured:
    """A metric with its interval, where that is known."""

    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class TrackedVersion:
    """One model version as MLflow knows it.

    Attributes:
        version: Its number.
        run_id: The run that made it.
        experiment_id: That run's experiment.
        metrics: Test metrics by name.
        why: Why it is where it is, as its tag says.
        report: Address of its newest drift report; empty for none.
    """

    version: int
    run_id: str = ""
    experiment_id: str = ""
    metrics: Mapping[str, Measured] = field(default_factory=dict)
    why: str = ""
    report: str = ""


class MlflowClient:
    """A client of MLflow's HTTP API.

    Args:
        url: Address of MLflow's server.
        model: Name of the registered model.
    """

    def __init__(self, url: str, *, model: str) -> None:
        self._url = url
        self._model = model
        self._client = open_client(f"{url}/api/2.0/mlflow", timeout_seconds=_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def version(self, version: int) -> TrackedVersion:
        """Return one version with its run's metrics; the bare number where MLflow does not know it.

        Raises:
            StoreError: MLflow does not answer.
        """
        query = {"filter": f"name='{self._model}' and version_number={version}", "max_results": "1"}
        found = msgspec.json.decode(await self._get("/model-versions/search", query), type=_Versions).model_versions
        if not found:
            return TrackedVersion(version)
        tags = {tag.key: tag.value for tag in found[0].tags}
        bare = TrackedVersion(
            version,
            run_id=found[0].run_id,
            why=tags.get("why", ""),
            report=_address(tags.get("everfeed.drift_report", "")),
        )
        if not bare.run_id:
            return bare
        run = msgspec.json.decode(await self._get("/runs/get", {"run_id": bare.run_id}), type=_RunAnswer).run
        values = {metric.key: metric.value for metric in run.data.metrics}
        return TrackedVersion(
            version, bare.run_id, run.info.experiment_id, metrics=_measured(values), why=bare.why, report=bare.report
        )

    async def _get(self, path: str, query: Mapping[str, Any]) -> bytes:
        try:
            response = await self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise StoreError(
                f"MLflow at {self._url} does not answer ({type(error).__name__}). Test metrics with their intervals are"
                " missing meanwhile. Start it with `everfeed up`, or see logs/mlflow.log in the home."
            ) from error
        if response.is_error:
            raise StoreError(
                f"MLflow at {self._url} answered {path} with status {response.status_code}. See logs/mlflow.log."
            )
        return response.content


def _measured(values: Mapping[str, float]) -> dict[str, Measured]:
    """Return the metrics that have an interval, each with its bounds."""
    return {
        name: Measured(value, values[name + _LOWER], values[name + _UPPER])
        for name, value in sorted(values.items())
        if name + _LOWER in values and name + _UPPER in values
    }


def _address(text: str) -> str:
    return text if text.startswith(("http://", "https://")) else ""
