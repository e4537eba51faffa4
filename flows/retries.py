"""Which failures of a task are worth another try: those of a store or the network, never those of the caller."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from recmodels.errors import EverfeedError, StoreError


def is_worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task may succeed when it is run again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StoreError) or not isinstance(error, EverfeedError)
