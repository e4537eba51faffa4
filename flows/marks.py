"""Every flow run says in Prefect which process works on it, so that a dead one is told from a living one."""

import logging
import sys
from functools import lru_cache

from infra.identity import PROCESS_LABEL, this_process

_log = logging.getLogger(__name__)


def mark_flow_run() -> None:
    """Write this process down as the one that works on the present flow run, once; nothing is done outside of one."""
    if "prefect" not in sys.modules:  # no flow runs where Prefect was not imported
        return
    from prefect.runtime import flow_run

    if flow_run.id:
        _mark(flow_run.id, this_process())


@lru_cache(maxsize=256)
def _mark(flow_run_id: str, process: str) -> None:
    from uuid import UUID

    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(flow_run_id), {PROCESS_LABEL: process})
    except (httpx.HTTPError, PrefectException, OSError) as error:
        _log.warning("flow run %s does not name its process in Prefect: %s", flow_run_id, error)
