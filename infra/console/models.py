"""Champion and challenger side by side: what their bundles' manifests say of them, without loading the bundles."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from infra.rollouts import ModelReference, Serving
from recmodels.bundle import Manifest


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
        note: What was done to it after training.
    """

    role: str
    version: int
    digest: str
    model: str = ""
    recipe: str = ""
    trained_until: datetime | None = None
    metrics: dict[str, float] | None = None
    note: str = ""


def cards(serving: Serving, *, bundles: Path) -> list[ModelCard]:
    """Return a card for each model that serves, the champion first."""
    roles = (("champion", serving.champion), ("challenger", serving.challenger))
    return [_card(role, reference, bundles) for role, reference in roles if reference is not None]


def metric_names(models: list[ModelCard]) -> list[str]:
    """Return the names of all metrics that any of the models has, in alphabetical order."""
    return sorted({name for model in models for name in model.metrics or {}})


def _card(role: str, reference: ModelReference, bundles: Path) -> ModelCard:
    try:
        text = (bundles / reference.digest / "manifest.json").read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError:
        return ModelCard(role, reference.version, reference.digest, note="its bundle is missing from this machine")
    except ValidationError:
        return ModelCard(role, reference.version, reference.digest, note="its manifest is of another format")
    return ModelCard(
        role,
        reference.version,
        reference.digest,
        model=manifest.model,
        recipe=str(manifest.recipe.get("name", "")),
        trained_until=manifest.trained_until,
        metrics=manifest.metrics,
        note=manifest.note,
    )
