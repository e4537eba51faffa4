"""What a failed run says: which stage, why, and what to do, in its state's message and on a page of its own.

A refusal by the gate, and a rollback, are results and no failures: such a run completes.
"""

import functools
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar, cast

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.states import Failed

from flows.progress import STAGE_NOTE
from recmodels.errors import (
    BundleError,
    DataError,
    EverfeedError,
    PluginError,
    RecipeError,
    SourceError,
    StoreError,
    TrainingError,
    UnknownNameError,
)

_log = logging.getLogger(__name__)
_LONGEST: Final = 2000
_AGAIN: Final = "then start the run again: what is finished is found by its key and not done twice."
_ADVICE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (SourceError, f"Correct the source or its options, {_AGAIN}"),
    (DataError, f"Look at the Data Docs and `everfeed quarantine list`, correct the data, {_AGAIN}"),
    (StoreError, f"`everfeed doctor` says which store is down or damaged; bring it back, {_AGAIN}"),
    (TrainingError, f"Change the recipe as the message says, or free the machine, {_AGAIN}"),
    (PluginError, f"Correct the plug-in, {_AGAIN}"),
    (RecipeError, f"Correct the recipe, {_AGAIN}"),
    (UnknownNameError, f"Correct the name, {_AGAIN}"),
    (BundleError, "`everfeed doctor` names damaged bundles; `everfeed restore` brings them back from a backup."),
    (EverfeedError, f"Do what the message says, {_AGAIN}"),
)
_OTHERS: Final = (
    "This is a mistake in Everfeed or in a plug-in, not in your data: the run's log holds the traceback, and `everfeed "
    "doctor` says whether something else is wrong."
)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """Why a run ended.

    Attributes:
        stage: Which stage of the lifecycle; the flow itself where it has none.
        kind: Type of the error.
        why: Its message.
        advice: What to do.
        where: Innermost function of a flow that was running.
    """

    stage: str
    kind: str
    why: str
    advice: str
    where: str

    @property
    def words(self) -> str:
        """All of it in one line."""
        why = self.why if self.why.endswith((".", "!", "?")) else f"{self.why}."
        return f"Stage {self.stage!r} failed. {self.kind}: {why} What to do: {self.advice}"

    @property
    def page(self) -> str:
        """All of it as Markdown."""
        quoted = self.why.replace("\n", "\n> ")
        return (
            f"# Failed in the stage {self.stage}\n\n**Why** ({self.kind})\n\n> {quoted}\n\n**What to do**\n\n"
            f"{self.advice}\n\nIt happened in `{self.where}`; the run's log holds the traceback.\n"
        )


def failure_of(error: BaseException, *, flow: str) -> Failure:
    """Return what an error means to a person.

    Args:
        error: What a flow raised.
        flow: Name of the flow.
    """
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    stages = [note.removeprefix(STAGE_NOTE) for note in notes if note.startswith(STAGE_NOTE)]
    frames = list(traceback.walk_tb(error.__traceback__))
    names = [(frame.f_globals.get("__name__", ""), frame.f_code.co_name) for frame, _ in frames]
    ours = [f"{module}.{name}" for module, name in names if module.startswith("flows.") and module != __name__]
    return Failure(
        stage=stages[0] if stages else flow,
        kind=type(error).__name__,
        why=str(error)[:_LONGEST] or "it says nothing",
        advice=next((words for kind, words in _ADVICE if isinstance(error, kind)), _OTHERS),
        where=ours[-1] if ours else flow,
    )


def explained(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator, below `@flow`, that lets a failed run say which stage failed, why, and what to do.

    Whoever calls the flow meets the same exception as without it.

    Args:
        name: Name of the flow.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - a door: it is explained, and goes on to the caller
                failure = failure_of(error, flow=name)
                get_run_logger().error("failed in the stage %s", failure.stage, exc_info=error)
                _leave_page(failure)
                return cast("R", Failed(message=failure.words, data=error))

        return run

    return decorate


def _leave_page(failure: Failure) -> None:
    """Keep the page with the run; where Prefect does not take it, the state's message says the same."""
    try:
        create_markdown_artifact(key="failure", markdown=failure.page, description=f"Failed in {failure.stage}")
    except httpx.HTTPError as error:
        _log.warning("the page of a failure was not kept: %s", error)
