"""Where things are, and secrets: the only reader of the environment, and of a project's file beside it."""

import os
import re
from pathlib import Path
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from infra import tenants
from infra.home import HomeFolder
from infra.lake_place import LakePlace
from infra.object_store import ObjectStore, checked_url
from infra.project_file import ProjectFile, RunDefaults
from infra.tenants import Quotas, check_home, check_name, derived
from infra.urls import ASYNCIO_DRIVER, POSTGRESQL_DRIVER, with_driver
from recmodels.errors import StoreError
from recmodels.registry import discover_in
from recmodels.safety import SafetyPolicy
from recmodels.spelling import did_you_mean

_OTHER_VARIABLES: Final = frozenset(
    {"EVERFEED_SCREENSHOTS", "EVERFEED_SECRETS_DIR", "EVERFEED_SERVICE", "EVERFEED_TEST_DATA"}
)
"""Variables with our prefix that are no settings: where tests put pictures and find data, a folder of files of
settings, and the mark of what a stack started."""


class Settings(BaseSettings, HomeFolder):
    """Places, ports and secrets; every default works on one machine.

    They come from variables with the prefix ``EVERFEED_``, then from the project's file.
    """

    model_config = SettingsConfigDict(
        env_prefix="EVERFEED_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # URLs hold passwords
    )

    config: Path | None = None
    """The project's file; the nearest `everfeed.toml` of the working directory and those above it, unless named."""
    plugins: Path | None = None
    """Folder of plug-ins of one's own, with a folder a kind, such as `models` and `channels`."""
    run: RunDefaults = RunDefaults()
    """What `everfeed run` runs where its options do not say so."""
    home: Path = Path(".everfeed")
    """The one folder that holds all state."""
    tenant: str | None = None
    """Whose namespace of the home and of the databases this is; None for a home without tenants."""
    quotas: Quotas = Quotas()
    """What the tenant may use at most, as JSON: ``{"requests_per_second": 50, "versions": 20}``."""
    host: str = "127.0.0.1"
    """Address that services listen on."""
    gateway_port: int = Field(8700, ge=0, le=65535)
    gateway_workers: int = Field(1, ge=1, le=64)
    """Processes that answer requests, on one port; one a core at most."""
    gateway_rate_per_second: float = Field(0.0, ge=0.0)
    """Requests a second that one client address may send, over all workers; 0 for no limit, since the address of a
    front-end server stands for all of its users."""
    console_port: int = Field(8701, ge=0, le=65535)
    prefect_port: int = Field(8702, ge=0, le=65535)
    mlflow_port: int = Field(8703, ge=0, le=65535)
    evidently_port: int = Field(8704, ge=0, le=65535)
    gateway_address: str = ""
    """URL that the gateway is asked at, where it is on another machine; empty means this one, at its port."""
    prefect_address: str = ""
    """URL of a Prefect server on another machine; empty means this one, at its port."""
    mlflow_address: str = ""
    """URL of the MLflow UI on another machine; empty means this one, at its port."""
    evidently: bool = True
    """`everfeed up` serves the UI of the drift reports, which takes about 330 MB; the reports are drawn without it."""
    database_url: str = Field("", repr=False)
    """URL of Everfeed's own tables, ``postgresql://user:password@host/name``; empty means SQLite in `home`."""
    mlflow_url: str = Field("", repr=False)
    """Tracking URI of MLflow, of a PostgreSQL database too; empty means SQLite in `home`."""
    prefect_database_url: str = Field("", repr=False)
    """URL of the PostgreSQL database of Prefect's server; empty means SQLite in `home`."""
    prefect_api_url: str = ""
    """API of a Prefect server of one's own, ``https://host/api``; empty means the one that `everfeed up` starts."""
    search_url: str = Field("", repr=False)
    """SQLAlchemy URL of Optuna's tables, which are to share a database with no others; empty means SQLite in `home`."""
    lake_path: str = ""
    """Folder of the Delta tables; empty means `lake/` in `home`."""
    lake_url: str = ""
    """Place of the Delta tables in an S3-compatible store, ``s3://bucket/prefix``, instead of a folder."""
    artifacts_url: str = ""
    """Place of MLflow's artifacts in an S3-compatible store; empty means `artifacts/` in `home`."""
    s3_endpoint: str = ""
    """Address of the store, ``https://host:port``; empty means AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS itself."""
    s3_region: str = ""
    """Its region; empty means AWS_REGION or AWS_DEFAULT_REGION."""
    s3_access_key_id: SecretStr = SecretStr("")
    """Key of the store; empty means AWS_ACCESS_KEY_ID, or what the AWS libraries find: a profile, a role."""
    s3_secret_access_key: SecretStr = SecretStr("")
    """Its secret part; empty means AWS_SECRET_ACCESS_KEY."""
    s3_session_token: SecretStr = SecretStr("")
    """Token of temporary credentials; empty means AWS_SESSION_TOKEN."""
    webhook_url: SecretStr = SecretStr("")
    """Address that alerts are posted to, http or https; empty for none. They always go to a log in `home`."""
    channels: SecretStr = SecretStr("")
    """Alert channels as JSON, ``{"ops": {"name": "slack", "options": {"url": "https://..."}}}``; empty means the file
    `channels.json` in `home`, where there is one."""
    write_token: SecretStr = SecretStr("")
    """Token for whatever changes state; empty means the one that was made in `home` at the first use."""
    user_key_secret: SecretStr = SecretStr("")
    """Key of the HMAC that turns user ids into user keys; empty means the one that was made in `home`."""

    time_zone: str = "UTC"
    """What the hours of schedules mean, such as ``Europe/Berlin``; summer time is minded."""
    notify_socket: str = Field("", validation_alias="NOTIFY_SOCKET")
    """Where systemd, if it started this process, wants to be told that it is ready; systemd's own variable."""

    safety: SafetyPolicy = SafetyPolicy()
    """Terms under which labelled items are shown, as JSON, ``{"restricted_minimum_age": 18}``; whatever a recipe says,
    every list is made under them."""

    @field_validator("tenant")
    @classmethod
    def _check_tenant(cls, name: str | None) -> str | None:
        return None if name is None else check_name(name)

    @model_validator(mode="after")
    def _check_home(self) -> Self:
        check_home(self.home.expanduser().resolve(), self.tenant)
        if self.tenant is not None and self.database_url and not self.database_url.startswith("postgres"):
            raise ValueError(
                "tenants share a PostgreSQL database, or have files in the home: unset EVERFEED_DATABASE_URL"
            )
        if self.tenant is not None and re.search(rf"[?&]{tenants.SCHEMA_OPTION}=", self.database_url):
            raise ValueError("the schema follows from EVERFEED_TENANT: take it out of EVERFEED_DATABASE_URL")
        if self.tenant is not None and self.prefect_database_url:
            tenants.check_prefect(self.prefect_database_url, self.tenant)
        return self

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            hint = did_you_mean(name, available_timezones())
            raise ValueError(f"no time zone has this name.{hint} Use one such as UTC or Europe/Berlin") from error
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - of no folder; the one named below is read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from: the call, the environment, files of secrets, the project's file.

        A file of the folder EVERFEED_SECRETS_DIR holds the setting that it is called after, as containers get secrets:
        ``everfeed_database_url``.
        """
        secret_files = SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get("EVERFEED_SECRETS_DIR") or None)
        return init_settings, env_settings, secret_files, ProjectFile(settings_cls)

    @property
    def plugin_folders(self) -> tuple[Path, ...]:
        """Folders that the catalogues look into beside their own package."""
        return () if self.plugins is None else (self.plugins.expanduser().resolve(),)

    @property
    def root(self) -> Path:
        """The folder that holds all state, as an absolute path: the home, or the tenant's folder of it."""
        home = self.home.expanduser().resolve()
        return home if self.tenant is None else home / tenants.FOLDER / self.tenant

    def named(self, name: str) -> str:
        """Return a name for a store that tenants share, such as an experiment's: the tenant's comes before it."""
        return name if self.tenant is None else f"{self.tenant}.{name}"

    def _of_tenant(self, place: str) -> str:
        """Return the tenant's own folder of a place that tenants share."""
        return place if self.tenant is None else f"{place.rstrip('/')}/{tenants.FOLDER}/{self.tenant}"

    @property
    def database(self) -> str:
        """SQLAlchemy URL of Everfeed's own tables."""
        url = self.database_url
        if url and self.tenant is not None:
            url += f"{'&' if '?' in url else '?'}{tenants.SCHEMA_OPTION}={tenants.schema_of(self.tenant)}"
        return url or f"sqlite:///{self.root / 'everfeed.db'}"

    @property
    def mlflow(self) -> str:
        """Tracking URI of MLflow."""
        return with_driver(self.mlflow_url, POSTGRESQL_DRIVER) or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts_place(self) -> str:
        """URL of MLflow's artifacts, of a folder too."""
        if not self.artifacts_url:
            return self.artifacts.as_uri()
        return self._of_tenant(checked_url(self.artifacts_url, variable="EVERFEED_ARTIFACTS_URL"))

    @property
    def lake(self) -> str:
        """Folder or URL of the Delta tables.

        Raises:
            StoreError: Two settings say where.
        """
        if self.lake_url and self.lake_path:
            raise StoreError(
                f"EVERFEED_LAKE_URL ({self.lake_url}) and EVERFEED_LAKE_PATH ({self.lake_path}) both say where the lake"
                " is. Unset one of them."
            )
        place = self.lake_url or self.lake_path
        return self._of_tenant(place) if place else str(self.root / "lake")

    @property
    def lake_place(self) -> LakePlace:
        """Where the Delta tables are, and how they are reached.

        Raises:
            StoreError: A setting names no such place.
        """
        return LakePlace.of(self.lake, store=self.object_store, lock=self.root / "lake.lock")

    @property
    def object_store(self) -> ObjectStore:
        """The S3-compatible store; own settings come before the variables that AWS libraries know.

        Raises:
            StoreError: One half of a key is missing.
        """
        known = os.environ.get
        own = self.s3_access_key_id.get_secret_value()
        if bool(own) != bool(self.s3_secret_access_key.get_secret_value()):
            raise StoreError(
                f"EVERFEED_S3_{'SECRET_ACCESS_KEY' if own else 'ACCESS_KEY_ID'} is missing beside the other half of the"
                " key. Give both, or neither for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        secret = self.s3_secret_access_key.get_secret_value() if own else known("AWS_SECRET_ACCESS_KEY", "")
        token = self.s3_session_token.get_secret_value() or ("" if own else known("AWS_SESSION_TOKEN", ""))
        return ObjectStore(
            endpoint=self.s3_endpoint or known("AWS_ENDPOINT_URL_S3") or known("AWS_ENDPOINT_URL", ""),
            region=self.s3_region or known("AWS_REGION") or known("AWS_DEFAULT_REGION", ""),
            access_key_id=own or known("AWS_ACCESS_KEY_ID", ""),
            secret_access_key=secret,
            session_token=token,
        )

    @property
    def studies(self) -> str:
        """SQLAlchemy URL of Optuna's tables."""
        return with_driver(self.search_url, POSTGRESQL_DRIVER) or f"sqlite:///{self.root / 'searches.db'}"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway."""
        return self.gateway_address.rstrip("/") or f"http://{self.host}:{self.gateway_port}"

    @property
    def console_url(self) -> str:
        """Address of the control room."""
        return f"http://{self.host}:{self.console_port}"

    @property
    def prefect_url(self) -> str:
        """Address of the Prefect UI."""
        return self.prefect_address.rstrip("/") or f"http://{self.host}:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """Address of the API of Prefect's server."""
        return self.prefect_api_url.rstrip("/") or f"{self.prefect_url}/api"

    @property
    def mlflow_ui_url(self) -> str:
        """Address of the MLflow UI."""
        return self.mlflow_address.rstrip("/") or f"http://{self.host}:{self.mlflow_port}"

    @property
    def evidently_url(self) -> str:
        """Address of the Evidently UI."""
        return f"http://{self.host}:{self.evidently_port}"

    @classmethod
    def unknown_variables(cls) -> dict[str, str]:
        """Return the variables with our prefix that no setting reads, each with a hint at what was probably meant."""
        prefix = cls.model_config["env_prefix"]
        known = {f"{prefix}{name}".upper() for name in cls.model_fields} | _OTHER_VARIABLES
        unknown = sorted(name for name in os.environ if name.startswith(prefix) and name not in known)
        return {name: did_you_mean(name, sorted(known), prefix=prefix) for name in unknown}

    def environment(self) -> dict[str, str]:
        """Return the variables that a process of the platform starts with: telemetry off, homes of the libraries."""
        prefect = with_driver(self.prefect_database_url, ASYNCIO_DRIVER)
        remote = self.lake_url or self.artifacts_url
        return {
            **({"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect} if prefect else {}),
            **(self.object_store.environment() if remote else {}),
            "EVERFEED_HOME": str(self.home.expanduser().resolve()),
            **({"EVERFEED_TENANT": self.tenant} if self.tenant else {}),
            **({"EVERFEED_CONFIG": str(self.config)} if self.config else {}),
            "DO_NOT_TRACK": "true",
            "PREFECT_HOME": str(self.root / "prefect"),
            "PREFECT_API_URL": self.prefect_api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_BACKEND_STORE_URI": self.mlflow,
            "GX_ANALYTICS_ENABLED": "false",
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",
        }

    def token(self) -> str:
        """Return the token for whatever changes state, making it at the first use (mode 0600)."""
        given = self.write_token.get_secret_value()
        return derived(given, tenant=self.tenant, purpose="write token") if given else self._secret("write_token")

    def user_secret(self) -> bytes:
        """Return the key that user ids are hashed with, making it at the first use (mode 0600)."""
        given = self.user_key_secret.get_secret_value()
        own = derived(given, tenant=self.tenant, purpose="user keys") if given else self._secret("user_key_secret")
        return own.encode()


discover_in(lambda: Settings().plugin_folders)
