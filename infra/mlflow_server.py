"""`python -m infra.mlflow_server`: MLflow's tracking server in one process.

`mlflow server` stays beside the server that it starts, with a second copy of the libraries in memory, after both have
imported them one after the other. Here the process that prepares the store serves the same application.
"""

import argparse
import os
import uuid
from typing import Final

from infra.settings import Settings

_ARTIFACTS: Final = "mlflow-artifacts:/"
"""Where clients of the server are told that artifacts are: behind the server itself."""


def main() -> None:
    """Bring MLflow's tables to its newest schema, then serve until SIGTERM or SIGINT."""
    given = _arguments()
    store = Settings().mlflow
    os.environ.update(_variables(given, store))

    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, _ARTIFACTS)
    uvicorn.run("mlflow.server.fastapi_app:app", host=given.host, port=given.port, log_level="warning")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.mlflow_server")
    parser.add_argument("--artifacts-destination", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--allowed-hosts", required=True)
    parser.add_argument("--cors-allowed-origins", required=True)
    return parser.parse_args()


def _variables(given: argparse.Namespace, store: str) -> dict[str, str]:
    """Return what `mlflow server` tells the application through the environment, under MLflow's own names.

    Source: ``mlflow.server._run_server`` of MLflow 3.17.
    """
    from mlflow.server import constants

    return {
        constants.BACKEND_STORE_URI_ENV_VAR: store,
        constants.REGISTRY_STORE_URI_ENV_VAR: store,
        constants.ARTIFACT_ROOT_ENV_VAR: _ARTIFACTS,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: given.artifacts_destination,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": given.allowed_hosts,
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": given.cors_allowed_origins,
        "MLFLOW_ENABLE_WORKSPACES": "false",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
    }


if __name__ == "__main__":
    main()
