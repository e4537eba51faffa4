"""The Evidently workspace that reports are kept in: one project, each run at the time that it is about."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evidently.core.datasets import Dataset
    from evidently.core.report import Report, Snapshot

PROJECT = "everfeed drift"

_KNOWN_WARNINGS = (
    r"numpy\.core is deprecated",  # Evidently 0.7.23 imports it; goes with a newer Evidently
    r"Use of deprecated class 'DependencyKwarg'",  # and declares its own web server so
    r"Call to deprecated function 'Dependency'",
    r"invalid value encountered in divide",  # it correlates columns that are constant
)


@dataclass(frozen=True)
class Label:
    """What a run is about.

    Attributes:
        as_of: Time of its newest event; runs with one time line up.
        model_version: Who served then; empty for nobody.
    """

    as_of: datetime
    model_version: str = ""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back the warnings that Evidently is known for."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def run_report(
    report: "Report",
    current: "Dataset",
    reference: "Dataset",
    *,
    name: str,
    label: Label | None,
    additional: "dict[str, Dataset] | None" = None,
) -> "Snapshot":
    """Run a report over two windows, at the time and with the tags of `label`."""
    version = label.model_version if label else ""
    return report.run(
        current,
        reference,
        additional_data=additional,
        timestamp=label.as_of if label else None,
        name=name,
        tags=[name, *([f"model version {version}"] if version else [])],
        metadata={"model_version": version},
    )


def keep(snapshot: "Snapshot", workspace: Path) -> str:
    """Add a run to the workspace, which is made at the first use, and return the number of its project."""
    from evidently.ui.workspace import Workspace

    opened = Workspace.create(str(workspace))
    known = opened.search_project(PROJECT)
    project = known[0] if known else opened.create_project(PROJECT)
    opened.add_run(project.id, snapshot)
    return str(project.id)
