"""Model versions in MLflow: one a bundle, with aliases and tags that only mirror the rollouts table."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from sqlalchemy.exc import SQLAlchemyError

from infra.urls import without_password
from recmodels.errors import StoreError

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
DIGEST_TAG: Final = "digest"
STATE_TAG: Final = "state"
WHY_TAG: Final = "why"

_NOWHERE: Final = 0
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:/")


@dataclass(frozen=True)
class Registered:
    """One version of the registered model."""

    version: int
    digest: str
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class AliasChange:
    """An alias that was not where the rollouts table says.

    Attributes:
        alias: ``champion`` or ``challenger``.
        found: Version that it stood at, or None.
        written: Version that it stands at now, or None.
        was_moved_by_hand: It stood elsewhere than the last reconciliation had left it.
    """

    alias: str
    found: int | None
    written: int | None
    was_moved_by_hand: bool


class ModelRegistry:
    """The versions of one registered model.

    Args:
        uri: ``sqlite:////absolute/mlflow.db`` or the address of a server.
        name: Name of the registered model.
    """

    def __init__(self, uri: str, name: str) -> None:
        self._uri = uri
        self._name = name
        self._opened: MlflowClient | None = None

    def register(self, digest: str, *, run_id: str, source: str, tags: Mapping[str, str]) -> int:
        """Return the version of a bundle, making it at the first call with this digest.

        Args:
            digest: Digest of the bundle.
            run_id: Run that made it.
            source: Folder of the bundle, or a URI such as ``runs:/<run id>/bundle``; a server takes only the latter.
            tags: Why the version is where it is, and what else a person asks; written again at every call.
        """
        with self._explained():
            self._ensure_model()
            known = self._find(digest)
            if known is not None:
                for name, value in tags.items():
                    self._client.set_model_version_tag(self._name, known.version, name, value)
                return int(known.version)
            source = source if _URI.match(source) else Path(source).resolve().as_uri()
            made = self._client.create_model_version(
                self._name, source, run_id=run_id, tags={**tags, DIGEST_TAG: digest}, await_creation_for=0
            )
            first = self._find(digest)
            assert first is not None
            if int(first.version) != int(made.version):  # another process registered it at the same moment
                self._client.delete_model_version(self._name, made.version)
            return int(first.version)

    def version_of(self, digest: str) -> int | None:
        """Return the version of a bundle, or None if it was never registered."""
        with self._explained():
            found = self._find(digest)
        return None if found is None else int(found.version)

    def versions(self) -> list[Registered]:
        """Return every version, the newest first."""
        with self._explained():
            found = self._client.search_model_versions(f"name = '{self._name}'")
        versions = [Registered(int(v.version), v.tags.get(DIGEST_TAG, ""), v.run_id or "", dict(v.tags)) for v in found]
        return sorted(versions, key=lambda registered: -registered.version)

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        """Write tags of one version, over older values."""
        with self._explained():
            for name, value in tags.items():
                self._client.set_model_version_tag(self._name, str(version), name, value)

    def describe(self, version: int, markdown: str) -> None:
        """Write what MLflow's page of one version begins with, over an older text."""
        with self._explained():
            self._client.update_model_version(self._name, str(version), description=markdown)

    def aliases(self) -> dict[str, int]:
        """Return where each alias stands; empty before the first version."""
        with self._explained():
            self._ensure_model()
            aliases = self._client.get_registered_model(self._name).aliases
        return {alias: int(version) for alias, version in aliases.items()}

    def reconcile(self, champion: int, challenger: int | None, *, reason: str = "") -> list[AliasChange]:
        """Put the aliases where the rollouts table says, and say which stood elsewhere.

        Args:
            champion: Version that serves.
            challenger: Version of the active rollout, or None.
            reason: Why, kept as a tag of the versions whose place changed.

        Returns:
            The aliases that were rewritten; none where all stood right.
        """
        before = self.aliases()
        with self._explained():
            model_tags = self._client.get_registered_model(self._name).tags
            changes = []
            for alias, version in (
                (CHALLENGER, challenger),
                (CHAMPION, champion),
            ):  # a promoted challenger ends as champion
                if before.get(alias) != version:
                    left_at = model_tags.get(_left_tag(alias), "")
                    is_by_hand = left_at != "" and left_at != str(before.get(alias, _NOWHERE))
                    self._move(alias, before.get(alias), version, reason=reason)
                    changes.append(AliasChange(alias, before.get(alias), version, is_by_hand))
                left = str(_NOWHERE if version is None else version)
                if model_tags.get(_left_tag(alias)) != left:
                    self._client.set_registered_model_tag(self._name, _left_tag(alias), left)
        return changes

    @property
    def _client(self) -> MlflowClient:
        if self._opened is None:
            self._opened = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._opened

    def _ensure_model(self) -> None:
        try:
            self._client.get_registered_model(self._name)
        except MlflowException:
            try:
                self._client.create_registered_model(self._name)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise

    def _find(self, digest: str) -> ModelVersion | None:
        found = self._client.search_model_versions(f"name = '{self._name}' and tags.{DIGEST_TAG} = '{digest}'")
        return min(found, key=lambda version: int(version.version), default=None)

    def _move(self, alias: str, before: int | None, version: int | None, *, reason: str) -> None:
        if version is None:
            self._client.delete_registered_model_alias(self._name, alias)
        else:
            self._client.set_registered_model_alias(self._name, alias, str(version))
            self._describe(version, state=alias, reason=reason)
        if before is not None:
            self._describe(before, state=f"former {alias}", reason=reason)

    def _describe(self, version: int, *, state: str, reason: str) -> None:
        self._client.set_model_version_tag(self._name, str(version), STATE_TAG, state)
        if reason:
            self._client.set_model_version_tag(self._name, str(version), WHY_TAG, reason)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, SQLAlchemyError) as error:  # a damaged SQLite file passes through MLflow as it is
            raise StoreError(
                f"MLflow's model registry at {without_password(self._uri)} did not do what was asked: {error}."
                " Check EVERFEED_MLFLOW_URL, or that its server is up."
            ) from error


def _left_tag(alias: str) -> str:
    return f"everfeed.{alias}"
