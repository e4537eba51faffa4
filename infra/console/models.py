"""Champion and challenger side by side: what their bundles' manifests say of them, and what MLflow measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from infra.console.mlflow_client import Measured, TrackedVersion
from infra.rollouts import ModelReference, Serving
from recmodels.bundle import Manifest

_FIRST = ("ndcg_at_10", "recall_at_10")
"""Metrics that stand before the others."""


@dataclass(frozen=True)
class ModelCard:
    """One model as the control room shows it.

    Attributes:
        role: ``"champion"`` or ``"challenger"``.
        version: In the model registry.
        digest: Of the bundle.
        model: Name of the model; empty when the manifest cannot be read.
        recipe: Name of the recipe.
        trained_until: Its data's cutoff.
        metrics: Validation metrics.
        note: What was done to it after training, or what is wrong with it.
        tracked: What MLflow knows of it; only the version where it does not answer.
    """

    role: str
    version: int
    digest: str
    model: str = ""
    recipe: str = ""
    trained_until: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    tracked: TrackedVersion | None = None


@dataclass(frozen=True)
class MetricRow:
    """One metric of all models that are shown.

    Attributes:
        name: Its name.
        part: ``"test"`` or ``"validation"``.
        values: One a model; None where it is not known.
        difference: Challenger minus champion; None where either is not known.
        is_apart: The intervals do not overlap; None where there are none.
    """

    name: str
    part: str
    values: tuple[Measured | None, ...]
    difference: float | None
    is_apart: bool | None


def cards(serving: Serving, *, bundles: Path, tracked: Mapping[int, TrackedVersion]) -> list[ModelCard]:
    """Return a card for each model that serves, the champion first."""
    roles = (("champion", serving.champion), ("challenger", serving.challenger))
    return [
        _card(role, reference, bundles, tracked.get(reference.version))
        for role, reference in roles
        if reference is not None
    ]


def metric_rows(models: Sequence[ModelCard]) -> list[MetricRow]:
    """Return the test metrics with their intervals, then those of the validation; the usual ones first."""
    tests = [dict(model.tracked.metrics) if model.tracked else {} for model in models]
    validations = [{name: Measured(value) for name, value in model.metrics.items()} for model in models]
    return [*_rows("test", tests), *_rows("validation", validations)]


def _rows(part: str, known: Sequence[Mapping[str, Measured]]) -> list[MetricRow]:
    names = sorted({name for one in known for name in one}, key=lambda name: (name not in _FIRST, name))
    return [_row(name, part, tuple(one.get(name) for one in known)) for name in names]


def _row(name: str, part: str, values: tuple[Measured | None, ...]) -> MetricRow:
    known = [value for value in values if value is not None]
    if len(values) != 2 or len(known) != 2:
        return MetricRow(name, part, values, None, None)
    champion, challenger = known
    return MetricRow(name, part, values, challenger.value - champion.value, _is_apart(champion, challenger))


def _is_apart(champion: Measured, challenger: Measured) -> bool | None:
    """Return whether two intervals do not overlap; None where either is not known."""
    if champion.lower is None or champion.upper is None or challenger.lower is None or challenger.upper is None:
        return None
    return challenger.lower > champion.upper or challenger.upper < champion.lower


def _card(role: str, reference: ModelReference, bundles: Path, tracked: TrackedVersion | None) -> ModelCard:
    note = ""
    try:
        text = (bundles / reference.digest / "manifest.json").read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError:
        note = "its bundle is missing from this machine: copy it here, or roll out another model"
    except ValidationError:
        note = "its manifest is of another format: train it again with this version"
    if note:
        return ModelCard(role, reference.version, reference.digest, note=note, tracked=tracked)
    return ModelCard(
        role,
        reference.version,
        reference.digest,
        model=manifest.model,
        recipe=str(manifest.recipe.get("name", "")),
        trained_until=manifest.trained_until,
        metrics=manifest.metrics,
        note=manifest.note,
        tracked=tracked,
    )
