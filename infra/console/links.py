"""Where the other interfaces show the same object: addresses of Prefect, MLflow, Evidently and the reports."""

from dataclasses import dataclass
from urllib.parse import quote

from infra.settings import Settings

MODEL = "everfeed"
"""Name of the registered model; a tenant's has the tenant's name before it."""
DATA_DOCS = "/reports/data_docs/index.html"
DRIFT_REPORT = "/reports/drift/report.html"
ANALYSIS = "/reports/analysis/report.html"


@dataclass(frozen=True)
class Links:
    """Addresses over one home's settings."""

    settings: Settings

    def flow_run(self, run_id: str) -> str:
        """Return the page of a flow run in Prefect."""
        return f"{self.settings.prefect_url}/runs/flow-run/{quote(run_id)}"

    def deployment(self, deployment_id: str) -> str:
        """Return the page of a deployment in Prefect."""
        return f"{self.settings.prefect_url}/deployments/deployment/{quote(deployment_id)}"

    def version(self, version: int) -> str:
        """Return the page of a model version in MLflow."""
        return f"{self.settings.mlflow_ui_url}/#/models/{quote(self.settings.named(MODEL))}/versions/{version}"

    def run(self, experiment_id: str, run_id: str) -> str:
        """Return the page of a training run in MLflow."""
        return f"{self.settings.mlflow_ui_url}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}"

    def experiment(self, experiment_id: str) -> str:
        """Return the page of an experiment in MLflow, or of all where none is known."""
        return f"{self.settings.mlflow_ui_url}/#/experiments" + (f"/{quote(experiment_id)}" if experiment_id else "")

    def data_docs(self, table: str = "", part: str = "") -> str:
        """Return the Data Docs, of one table where it has a page; empty where there are none."""
        folder = self.settings.reports / "data_docs"
        page = f"{table}-{part}.html"
        if table and "/" not in page and (folder / page).exists():
            return f"/reports/data_docs/{quote(page)}"
        return DATA_DOCS if (folder / "index.html").exists() else ""

    def elsewhere(self) -> list[tuple[str, str]]:
        """Return the other interfaces by name; reports that are not there are left out."""
        settings = self.settings
        pages = (("Data Docs", DATA_DOCS), ("Drift report", DRIFT_REPORT), ("Analysis", ANALYSIS))
        return [
            ("Prefect", settings.prefect_url),
            ("MLflow", settings.mlflow_ui_url),
            *([("Evidently", settings.evidently_url)] if settings.evidently else []),
            *((name, path) for name, path in pages if (settings.reports / path.removeprefix("/reports/")).exists()),
            ("Gateway", f"{settings.gateway_url}/v1/status"),
        ]
