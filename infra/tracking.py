"""Runs in MLflow: one run a lifecycle, a child run a model, found again by their keys when work is repeated.

Only `MlflowClient` with explicit run ids is used: the fluent API logs to an orphan run inside Prefect's threads.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from pydantic import JsonValue
from sqlalchemy.exc import SQLAlchemyError

from infra.urls import without_password
from recmodels.errors import StoreError

KEY_TAG: Final = "everfeed.key"
"""Tag that a run is found again by."""

_PARENT_TAG: Final = "mlflow.parentRunId"
_MAX_PARAMETER: Final = 6000
_MAX_TAG: Final = 8000
_MAX_BATCH: Final = 100
_PAGE: Final = 1000


@dataclass(frozen=True)
class TrackedRun:
    """A run as it is kept: its id, what it is called, its tags, MLflow's word for its status."""

    run_id: str
    name: str
    tags: Mapping[str, str]
    status: str = "FINISHED"

    @property
    def key(self) -> str:
        """What the run is found again by; empty for one that nobody looks for."""
        return self.tags.get(KEY_TAG, "")


class Tracker:
    """The runs of one MLflow experiment.

    Args:
        uri: Tracking URI: ``sqlite:////absolute/mlflow.db`` or the address of a server.
        artifacts: Folder that files of runs are kept in, when the experiment is made here.
        experiment: Name of the experiment.
    """

    def __init__(self, uri: str, *, artifacts: Path, experiment: str = "everfeed") -> None:
        self._uri = uri
        self._artifacts = artifacts
        self._experiment = experiment
        self._opened: tuple[MlflowClient, str] | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client, for whatever has no method here.

        Raises:
            StoreError: MLflow's store cannot be used.
        """
        return self._open()[0]

    @property
    def experiment_id(self) -> str:
        """Id of the experiment, which is made at the first use.

        Raises:
            StoreError: MLflow's store cannot be used.
        """
        return self._open()[1]

    def lifecycle_run(self, key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """Return the run that the models of one snapshot stand under, making it at the first call with this key.

        Args:
            key: Identity of the lifecycle; the same key gives the same run.
            name: What the run is called in MLflow's pages.
            tags: What it is about; written again at every call.
        """
        return self._run(f"lifecycle:{key}", name=name, tags=tags)

    def model_run(self, key: str, *, parent: str, name: str, tags: Mapping[str, str]) -> str:
        """Return the run of one model, making it under `parent` at the first call with this key.

        Args:
            key: Identity of the training; the same key gives the same run.
            parent: Run id of the lifecycle.
            name: What the run is called in MLflow's pages.
            tags: What it is about; written again at every call.
        """
        return self._run(f"model:{key}", name=name, tags={**tags, _PARENT_TAG: parent})

    def search_run(self, key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """Return the run that the trials of one search stand under, making it at the first call with this key.

        Args:
            key: Identity of the search; the same key gives the same run.
            name: What the run is called in MLflow's pages.
            tags: What it is about; written again at every call.
        """
        return self._run(f"search:{key}", name=name, tags=tags)

    def analysis_run(self, key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """Return the run that keeps one analysis for people, making it at the first call with this key.

        Args:
            key: Identity of the analysis; the same key gives the same run.
            name: What the run is called in MLflow's pages.
            tags: What it is about; written again at every call.
        """
        return self._run(f"analysis:{key}", name=name, tags=tags)

    def log_recipe(self, run_id: str, recipe: Mapping[str, JsonValue]) -> None:
        """Log a recipe as parameters with dotted names, and whole as the file ``recipe.json``."""
        self.log_parameters(run_id, dict(_flatten(recipe)))
        self.log_text(run_id, json.dumps(recipe, indent=2, sort_keys=True), file="recipe.json")

    def log_parameters(self, run_id: str, values: Mapping[str, JsonValue]) -> None:
        """Log parameters; one that the run has already stays as it is, since MLflow lets none change."""
        parameters = [Param(name, str(value)[:_MAX_PARAMETER]) for name, value in values.items()]
        with _explained(self._uri):
            known = self.client.get_run(run_id).data.params
            new = [parameter for parameter in parameters if parameter.key not in known]
            for start in range(0, len(new), _MAX_BATCH):
                self.client.log_batch(run_id, params=new[start : start + _MAX_BATCH])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log figures of one step, in one batch; a figure that is not finite is left out."""
        now = time.time_ns() // 1_000_000
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items() if math.isfinite(value)]
        with _explained(self._uri):
            for start in range(0, len(batch), _MAX_BATCH):
                self.client.log_batch(run_id, metrics=batch[start : start + _MAX_BATCH])

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write tags, over older values."""
        with _explained(self._uri):
            self.client.log_batch(run_id, tags=_tags(tags))

    def log_data_set(self, run_id: str, *, name: str, digest: str, source: str, context: str = "training") -> None:
        """Log which data a run used.

        Args:
            run_id: The run.
            name: Name of the data set.
            digest: Fingerprint of its content; MLflow keeps the first 36 characters.
            source: Where it is, as a path or URI with its version.
            context: What it was used for.
        """
        data_set = Dataset(name=name, digest=digest[:36], source_type="delta", source=source)
        with _explained(self._uri):
            self.client.log_inputs(run_id, [DatasetInput(data_set, [InputTag("mlflow.data.context", context)])])

    def log_file(self, run_id: str, path: Path, *, folder: str = "") -> None:
        """Keep a file with the run, in `folder` of its artifacts."""
        with _explained(self._uri):
            self.client.log_artifact(run_id, str(path), folder or None)

    def log_folder(self, run_id: str, path: Path, *, folder: str = "") -> None:
        """Keep a folder's files with the run, in `folder` of its artifacts."""
        with _explained(self._uri):
            self.client.log_artifacts(run_id, str(path), folder or None)

    def log_text(self, run_id: str, text: str, *, file: str) -> None:
        """Keep a text as the file `file` of the run's artifacts."""
        with _explained(self._uri):
            self.client.log_text(run_id, text, file)

    def finish(self, run_id: str, *, status: str = "FINISHED") -> None:
        """End a run; `status` is ``FINISHED``, ``FAILED`` or ``KILLED``."""
        with _explained(self._uri):
            self.client.set_terminated(run_id, status)

    def unfinished(self) -> list[str]:
        """Return the ids of runs that are marked as running, such as those whose process died."""
        with _explained(self._uri):
            runs = self.client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
        return [run.info.run_id for run in runs]

    def kept(self) -> list[TrackedRun]:
        """Return every run that is not archived."""
        return self._all(ViewType.ACTIVE_ONLY)

    def archived(self) -> list[TrackedRun]:
        """Return the runs that somebody deleted in MLflow, which keeps their rows and files."""
        return self._all(ViewType.DELETED_ONLY)

    def sources(self, run_id: str) -> list[str]:
        """Return where the data of a run is, as `log_data_set` was told."""
        with _explained(self._uri):
            inputs = self.client.get_run(run_id).inputs.dataset_inputs
        return [str(one.dataset.source) for one in inputs]

    def find(self, run_id: str) -> TrackedRun | None:
        """Return the run of this id, or None where there is none in this experiment."""
        with _explained(self._uri):
            try:
                run = self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    raise
                return None
        return _tracked(run) if run.info.experiment_id == self.experiment_id else None

    def tagged(self, tag: str, start: str) -> list[TrackedRun]:
        """Return the runs whose tag `tag` begins with `start`, the newest first, 20 at most."""
        query = f"tags.`{tag}` LIKE '{start}%'"
        with _explained(self._uri):
            runs = self.client.search_runs([self.experiment_id], query, max_results=20)
        return [_tracked(run) for run in runs]

    def fetch(self, run_id: str, path: str, *, to: Path) -> Path:
        """Copy a file or folder of a run's artifacts, by its whole name, into the folder `to`; return where it is.

        Raises:
            StoreError: The run keeps nothing of this name.
        """
        with _explained(self._uri):
            kept = [file.path for file in self.client.list_artifacts(run_id)]
            if path not in kept:
                raise StoreError(f"run {run_id} keeps no {path!r}; it keeps {', '.join(kept) or 'nothing'}.")
            return Path(self.client.download_artifacts(run_id, path, str(to)))

    def _all(self, view: int) -> list[TrackedRun]:
        found: list[TrackedRun] = []
        token = None
        with _explained(self._uri):
            while True:
                page = self.client.search_runs([self.experiment_id], "", view, _PAGE, page_token=token)
                found += map(_tracked, page)
                token = page.token
                if not token:
                    return found

    def _open(self) -> tuple[MlflowClient, str]:
        if self._opened is None:
            if not self._uri.startswith("http"):
                self._artifacts.mkdir(parents=True, exist_ok=True)
            with _explained(self._uri):
                client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
                self._opened = client, self._experiment_id(client)
        return self._opened

    def _experiment_id(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(self._experiment)
        if known is None:
            location = None if self._uri.startswith("http") else self._artifacts.resolve().as_uri()
            try:
                return str(client.create_experiment(self._experiment, artifact_location=location))
            except MlflowException:
                known = client.get_experiment_by_name(self._experiment)  # another process may have made it meanwhile
                if known is None:
                    raise
        return str(known.experiment_id)

    def _run(self, key: str, *, name: str, tags: Mapping[str, str]) -> str:
        with _explained(self._uri):
            found = self.client.search_runs([self.experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
            if not found:
                run = self.client.create_run(self.experiment_id, run_name=name, tags={**_plain(tags), KEY_TAG: key})
                return str(run.info.run_id)
            run_id = str(found[0].info.run_id)
            self.client.log_batch(run_id, tags=_tags(tags))
            self.client.update_run(run_id, status="RUNNING", name=name)
            return run_id


def _tracked(run: Run) -> TrackedRun:
    return TrackedRun(str(run.info.run_id), str(run.info.run_name), dict(run.data.tags), str(run.info.status))


def _flatten(tree: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(tags: Mapping[str, str]) -> dict[str, Any]:
    return {name: value[:_MAX_TAG] for name, value in tags.items()}


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, value) for name, value in _plain(tags).items()]


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:  # a damaged SQLite file passes through MLflow as it is
        raise StoreError(
            f"MLflow at {without_password(uri)} did not do what was asked: {error}. Check EVERFEED_MLFLOW_URL, or that"
            " its server is up."
        ) from error
