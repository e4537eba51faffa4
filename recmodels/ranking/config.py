"""Of which parts a ranker's network is made; free of torch, so that a recipe can hold it."""

from typing import Any

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from recmodels.multi_task import SHARING
from recmodels.parts import PartConfig, PartRegistry
from recmodels.rankers import BACKBONES
from recmodels.scenarios import SCENARIOS
from recmodels.watch_time import WATCH_HEADS

_PARTS: dict[str, PartRegistry[Any]] = {
    "backbone": BACKBONES,
    "multi_task": SHARING,
    "scenario": SCENARIOS,
    "watch_time": WATCH_HEADS,
}


class NetworkConfig(PartConfig):
    """Settings of a ranker's network. A part's own settings are completed with their defaults."""

    embedding_dim: int = Field(16, ge=1)
    """D, size of every field's vector."""
    attention_dim: int = Field(32, ge=1)
    """Size of the inner layer of the attention over a history."""
    tower_dim: int = Field(32, ge=1)
    """Size of the layer before a task's probability."""
    unknown_share: float = Field(0.02, ge=0, lt=1)
    """Share of items, categories and surfaces that training shows as unknown ones, so that these mean something."""
    backbone: str = "dcn_v2"
    """By its name in `recmodels/rankers/`."""
    backbone_config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    multi_task: str = "mmoe"
    """By its name in `recmodels/multi_task/`."""
    multi_task_config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    scenario: str = "none"
    """By its name in `recmodels/scenarios/`."""
    scenario_config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    watch_time: str | None = "ordinal"
    """By its name in `recmodels/watch_time/`; None where seconds are not predicted."""
    watch_time_config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    watch_weight: float = Field(0.5, ge=0)
    """Of the loss of watch time; that of each task is 1."""

    @field_validator(*_PARTS)
    @classmethod
    def _is_known(cls, name: str | None, info: ValidationInfo) -> str | None:
        registry = _PARTS[str(info.field_name)]
        if name is not None and name not in registry.names():
            raise ValueError(f"{registry.kind} {name!r} is not known. Known: {', '.join(registry.names())}")
        return name

    @field_validator(*(f"{part}_config" for part in _PARTS))
    @classmethod
    def _is_complete(cls, config: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        part = str(info.field_name).removesuffix("_config")
        name = info.data.get(part)
        return config if name is None else _PARTS[part].config(name, config).model_dump(mode="json")
