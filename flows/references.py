"""What stages hand to each other: paths, versions and digests, never frames or models."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from recmodels.recipe import Recipe


class Traffic(StrEnum):
    """Who meets the canary."""

    LIVE = "live"
    """People: the rollout starts, and scheduled looks decide it."""
    REPLAY = "replay"
    """Resampled held-out users, until it is decided."""


class Reference(BaseModel):
    """Base of all references: frozen, and JSON on its way through Prefect."""

    model_config = ConfigDict(frozen=True)


class Batch(Reference):
    """Tables as a source gave them, normalised and without duplicates, waiting to be validated."""

    name: str
    source: str
    folder: Path
    """Holds one Parquet file a table; its name is the digest of the content."""
    interactions: int
    users: int
    items: int
    duplicates: int
    """Events dropped because another one had the same event_id."""
    first_at: datetime
    last_at: datetime
    as_of: datetime
    """The newest event that is not in the future: `now` for freshness."""
    is_order_only: bool
    terms: str
    notes: tuple[str, ...]
    replaces: bool = False
    """These rows are all there is of their days, instead of joining what is there."""
    suites: dict[Path, str] = {}
    """Files with suites of the user's own, each with its SHA-256 when it was named."""


class DataSet(Reference):
    """Which data set a home holds."""

    name: str
    is_order_only: bool
    expectations: str = ""
    """Digest of the expectations that the last batch was held to."""
    suites: dict[Path, str] = {}
    """Files with suites of the user's own, each with its SHA-256."""


class Screened(Reference):
    """A validated batch: good rows and quarantined rows, side by side on disk."""

    folder: Path
    rows: dict[str, int]
    """Rows that were judged, by table."""
    quarantined: int
    reasons: dict[str, int]
    """Quarantined rows by table and rule."""
    warnings: tuple[str, ...]
    docs: Path | None
    expectations: str = ""
    """Digest of the expectations."""


class Snapshot(Reference):
    """The lake as a run sees it."""

    name: str
    fingerprint: str
    """Digest of the content: the same data gives the same fingerprint, whatever the table versions."""
    versions: dict[str, int]
    """Version of each Delta table."""
    interactions: int
    users: int
    items: int
    quarantined: int
    as_of: datetime
    """Time of the last event: `now` for everything that is judged on this data."""
    is_order_only: bool
    docs: Path | None
    """Data docs of the validation."""
    start: datetime | None = None
    """Only interactions from this moment on are learned from and judged on; None for all."""
    expectations: str = ""
    """Digest of the expectations that the data was held to."""


class Trained(Reference):
    """A bundle that came of one recipe on one snapshot."""

    recipe: Recipe
    key: str
    """Identity of the run: the recipe's digest and the snapshot's fingerprint."""
    run_id: str
    """MLflow run of the model."""
    parent_id: str
    """MLflow run of the lifecycle."""
    digest: str
    validation: dict[str, float]
    best_epoch: int
    seconds: float
    origin: str = ""
    """What training started from, where the recipe asks for a warm start."""
    was_done: bool
    """The bundle was there already, from an earlier or interrupted run."""


class Candidate(Trained):
    """A trained bundle with its evaluation on the test part."""

    evaluation: Path
    metrics: dict[str, float]


class Release(Reference):
    """What the gate let through, and who serves."""

    champion_digest: str
    champion_version: int
    champion_name: str
    challenger: Candidate | None
    challenger_version: int | None
    refused: tuple[str, ...] = ()
    """Reasons of the gate, one a failed check; empty when the challenger passed."""
    refused_by: tuple[str, ...] = ()
    """Names of the failed checks."""
    is_forced: bool = False
    comparison: str = ""
    """Challenger against champion, in words."""


class Rolled(Reference):
    """How a rollout stands after a look."""

    rollout_id: str
    state: str
    verdict: str
    rule: str
    words: str
    users_canary: int
    users_control: int
    estimate: float | None
    lower: float | None
    upper: float | None
    looks: int = 1


class Monitored(Reference):
    """What the monitor found in one window."""

    figures: int
    drifted: tuple[str, ...]
    learning: int
    insufficient: int
    figure: str | None = None
    size: float | None = None
    since: datetime | None = None
    words: str = ""
    action: str = "ok"
    opened: tuple[str, ...] = ()
    report: Path | None = None
    delivered: tuple[str, ...] = ()
    """Channels that took an alert."""
