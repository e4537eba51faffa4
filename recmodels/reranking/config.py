"""What a release re-ranks with: an ordered list of stages, each with the fields of its own `Config`."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from recmodels.errors import RecipeError, UnknownNameError
from recmodels.registry import explain_settings
from recmodels.reranking import STAGES
from recmodels.reranking.contract import StageClass, StageConfig

SAFETY_STAGE = "safety"
_LAST = "exploration"


class StageError(RecipeError, ValueError):
    """A stage's name, place or configuration is not valid; a `ValueError`, so that pydantic reports it."""


class StageChoice(BaseModel):
    """A stage by its plug-in name, with the fields of that plug-in's own `Config`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    """Completed with the stage's defaults, so that spelling them out does not make another release."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name == SAFETY_STAGE:
            raise StageError(
                "the safety filter is no stage to choose: it always comes last, and its terms are settings of the "
                "platform (EVERFEED_SAFETY), not of a release. Leave it out."
            )
        stage_class(name)
        return name

    @field_validator("config")
    @classmethod
    def _is_complete(cls, config: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        return stage_config(info.data["name"], config).model_dump(mode="json") if "name" in info.data else config


class RerankingConfig(BaseModel):
    """How candidates become a list. Without a stage the best by score are shown, as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pool: int = Field(100, ge=1, le=1000)
    """Candidates that the stages choose from; a longer list has as many as it is long."""
    stages: tuple[StageChoice, ...] = ()
    """In the order in which they are applied; each name once. `exploration` comes last, since the propensities that it
    gives hold for the places that it fills."""

    @field_validator("stages")
    @classmethod
    def _are_in_order(cls, stages: tuple[StageChoice, ...]) -> tuple[StageChoice, ...]:
        names = [stage.name for stage in stages]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise StageError(f"the stages are {', '.join(names)}; {', '.join(twice)} stands there twice. Keep one.")
        if _LAST in names[:-1]:
            raise StageError(
                f"the stages are {', '.join(names)}; {_LAST} must be the last one, since whatever moves items after "
                "it makes its propensities untrue. Move it to the end."
            )
        return stages

    @property
    def is_active(self) -> bool:
        """Whether any stage is chosen."""
        return bool(self.stages)


def stage_class(name: str) -> StageClass:
    """Return a stage's class.

    Raises:
        StageError: No stage has this name.
    """
    try:
        return cast("StageClass", STAGES.get(name))
    except UnknownNameError as error:
        raise StageError(str(error)) from error


def stage_config(name: str, values: Mapping[str, Any]) -> StageConfig:
    """Validate the configuration of one stage.

    Raises:
        StageError: No stage has this name, a field is unknown, or a value is out of its range.
    """
    config_class = stage_class(name).Config
    try:
        return config_class.model_validate(dict(values))
    except ValidationError as error:
        raise StageError(explain_settings(STAGES.kind, name, config_class, error)) from error
