"""Progress of long work: stages with their seconds, and bars with an ETA on a terminal; nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

STAGE_NOTE = "stage: "
"""How the note begins that an error carries out of a stage."""


class Reporter:
    """Where progress goes; this one shows nothing, for scheduled flows, whose log is Prefect's."""

    def report(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of `what` are done."""

    def finish(self, stage: str, seconds: float) -> None:
        """Say that a stage took so long."""


class Terminal(Reporter):
    """One bar a piece of work, removed when it is done, and one line a stage.

    Attributes:
        seconds: Wall time of every finished stage; a stage that ran twice adds up.
    """

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def report(self, what: str, done: int, total: int) -> None:
        """Move the bar of `what`, making it at the first call."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(what))

    def finish(self, stage: str, seconds: float) -> None:
        """Print the stage and keep its seconds."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        self._progress.console.print(f"  [green]done[/] {stage} [dim]{seconds:.1f} s[/]", highlight=False)


_current = Reporter()


def report(what: str, done: int, total: int) -> None:
    """Report to whatever the process shows progress with."""
    _current.report(what, done, total)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a stage; one that raises is not reported as done, and its error says in a note where it was."""
    started = perf_counter()
    try:
        yield
    except Exception as error:
        error.add_note(f"{STAGE_NOTE}{name}")
        raise
    _current.finish(name, perf_counter() - started)


@contextmanager
def shown_on(console: Console) -> Iterator[Terminal]:
    """Show progress on a console for the length of a `with` block."""
    global _current
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        before, terminal = _current, Terminal(progress)
        _current = terminal
        try:
            yield terminal
        finally:
            _current = before
