"""Where things are, and secrets: the only reader of the environment."""

import re
import secrets
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra import tenants
from infra.tenants import Quotas, check_home, check_name, derived
from infra.urls import ASYNCIO_DRIVER, POSTGRESQL_DRIVER, with_driver
from recmodels.safety import SafetyPolicy


class Settings(BaseSettings):
    """Places, ports and secrets, from variables with the prefix ``EVERFEED_``; every default works on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="EVERFEED_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # URLs hold passwords
    )

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
    evidently: bool = True
    """`everfeed up` serves the UI of the drift reports, which takes about 330 MB; the reports are drawn without it."""
    database_url: str = Field("", repr=False)
    """URL of Everfeed's own tables, ``postgresql://user:password@host/name``; empty means SQLite in `home`."""
    mlflow_url: str = Field("", repr=False)
    """Tracking URI of MLflow, of a PostgreSQL database too; empty means SQLite in `home`."""
    prefect_database_url: str = Field("", repr=False)
    """URL of the PostgreSQL database of Prefect's server; empty means SQLite in `home`."""
    search_url: str = Field("", repr=False)
    """SQLAlchemy URL of Optuna's tables, which are to share a database with no others; empty means SQLite in `home`."""
    lake_path: str = ""
    """Folder of the Delta tables; empty means `lake/` in `home`."""
    webhook_url: SecretStr = SecretStr("")
    """Address that alerts are posted to, http or https; empty for none. They always go to a log in `home`."""
    channels: SecretStr = SecretStr("")
    """Alert channels as JSON, ``{"ops": {"name": "slack", "options": {"url": "https://..."}}}``; empty means the file
    `channels.json` in `home`, where there is one."""
    write_token: SecretStr = SecretStr("")
    """Token for whatever changes state; empty means the one that was made in `home` at the first use."""
    user_key_secret: SecretStr = SecretStr("")
    """Key of the HMAC that turns user ids into user keys; empty means the one that was made in `home`."""

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

    @property
    def root(self) -> Path:
        """The folder that holds all state, as an absolute path: the home, or the tenant's folder of it."""
        home = self.home.expanduser().resolve()
        return home if self.tenant is None else home / tenants.FOLDER / self.tenant

    def named(self, name: str) -> str:
        """Return a name for a store that tenants share, such as an experiment's: the tenant's comes before it."""
        return name if self.tenant is None else f"{self.tenant}.{name}"

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
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts."""
        return self.root / "artifacts"

    @property
    def lake(self) -> str:
        """Folder of the Delta tables."""
        if self.lake_path and self.tenant is not None:
            return f"{self.lake_path.rstrip('/')}/{tenants.FOLDER}/{self.tenant}"
        return self.lake_path or str(self.root / "lake")

    @property
    def bundles(self) -> Path:
        """Folder of the bundles, one folder a digest."""
        return self.root / "bundles"

    @property
    def runs(self) -> Path:
        """Folder of training runs: checkpoints, and which bundle came of them."""
        return self.root / "runs"

    @property
    def studies(self) -> str:
        """SQLAlchemy URL of Optuna's tables."""
        return with_driver(self.search_url, POSTGRESQL_DRIVER) or f"sqlite:///{self.root / 'searches.db'}"

    @property
    def searches(self) -> Path:
        """Folder of searches for hyper-parameters: open trials' checkpoints, and the best recipe."""
        return self.root / "searches"

    @property
    def recipes(self) -> Path:
        """The recipes of the last run, which the daily lifecycle trains again."""
        return self.root / "recipes.json"

    @property
    def covariates(self) -> Path:
        """Folder of users' own rates before the active rollout, one file a rollout."""
        return self.root / "covariates"

    @property
    def reports(self) -> Path:
        """Folder of data docs and drift reports."""
        return self.root / "reports"

    @property
    def figures(self) -> Path:
        """The newest daily figures of the monitor, with their bands."""
        return self.root / "figures.json"

    @property
    def receipts(self) -> Path:
        """Folder of the receipts of erasures, one JSON file each."""
        return self.root / "receipts"

    @property
    def logs(self) -> Path:
        """Folder of the services' logs."""
        return self.root / "logs"

    @property
    def channels_file(self) -> Path:
        """The alert channels, where `channels` does not name them."""
        return self.root / "channels.json"

    @property
    def downloads(self) -> Path:
        """Folder of data sets fetched from the package index."""
        return self.root / "downloads"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway."""
        return f"http://{self.host}:{self.gateway_port}"

    @property
    def console_url(self) -> str:
        """Address of the control room."""
        return f"http://{self.host}:{self.console_port}"

    @property
    def prefect_url(self) -> str:
        """Address of the Prefect UI."""
        return f"http://{self.host}:{self.prefect_port}"

    @property
    def mlflow_ui_url(self) -> str:
        """Address of the MLflow UI."""
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def evidently_url(self) -> str:
        """Address of the Evidently UI."""
        return f"http://{self.host}:{self.evidently_port}"

    @property
    def drift_workspace(self) -> Path:
        """Folder of the Evidently workspace."""
        return self.reports / "evidently"

    def environment(self) -> dict[str, str]:
        """Return the variables that a process of the platform starts with: telemetry off, homes of the libraries."""
        prefect = with_driver(self.prefect_database_url, ASYNCIO_DRIVER)
        return {
            **({"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect} if prefect else {}),
            "EVERFEED_HOME": str(self.home.expanduser().resolve()),
            **({"EVERFEED_TENANT": self.tenant} if self.tenant else {}),
            "DO_NOT_TRACK": "true",
            "PREFECT_HOME": str(self.root / "prefect"),
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
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

    def secret_file(self, name: str) -> Path:
        """Return where a secret of a person's own is kept, so that settings name it instead of holding it.

        Raises:
            ValueError: The name is not made of letters, digits, dots, dashes and underscores alone.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
            raise ValueError(f"{name!r} is no name of a secret: letters, digits, dots, dashes and underscores alone.")
        return self.root / "secrets" / name

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret under a name (mode 0600), in place of what was kept there.

        Raises:
            ValueError: The name cannot be one.
        """
        path = self.secret_file(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.parent / f".{name}.{secrets.token_hex(4)}"
        partial.touch(mode=0o600)
        partial.write_text(value)
        partial.replace(path)

    def _secret(self, name: str) -> str:
        folder = self.root / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / name
        if not path.exists():
            partial = folder / f".{name}.{secrets.token_hex(4)}"
            partial.touch(mode=0o600)
            partial.write_text(secrets.token_urlsafe(32))
            try:
                path.hardlink_to(partial)
            except FileExistsError:
                pass  # another process made it first; its value is the one
            finally:
                partial.unlink()
        return path.read_text().strip()
