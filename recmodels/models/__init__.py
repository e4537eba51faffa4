"""The catalogue of models: each module of this folder is one, called by its file's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from recmodels.errors import EverfeedError, UnknownNameError
from recmodels.registry import Registry, explain_settings

if TYPE_CHECKING:
    from recmodels.models._contract import Model

__all__ = ["MODELS", "ModelConfig", "ModelConfigError", "ModelRegistry"]


class ModelConfig(BaseModel):
    """Base of a model's nested `Config`: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfigError(EverfeedError, ValueError):
    """A model's name or configuration is not valid; a `ValueError`, so that pydantic reports it within a recipe."""


@dataclass(frozen=True)
class ModelRegistry(Registry):
    """The models by name. Listing them imports none; asking for one imports its module, torch included if it has it."""

    def config(self, name: str, values: Mapping[str, Any]) -> ModelConfig:
        """Validate the configuration of one model.

        Args:
            name: Name of the model.
            values: Fields of the model's own `Config`; those left out take their defaults.

        Raises:
            ModelConfigError: No model has this name, a field is unknown, or a value is out of its range.
        """
        try:
            config_class = cast("type[Model]", self.get(name)).Config
        except UnknownNameError as error:
            raise ModelConfigError(str(error)) from error
        try:
            return config_class.model_validate(dict(values))
        except ValidationError as error:
            raise ModelConfigError(explain_settings(self.kind, name, config_class, error)) from error

    def build(self, name: str, config: ModelConfig, vocabulary_size: int) -> "Model":
        """Return a new, untrained model.

        Args:
            name: Name of the model.
            config: What `config` returned for the same name.
            vocabulary_size: V, the two special entries included.

        Raises:
            UnknownNameError: No model has this name.
        """
        build = cast("Callable[[ModelConfig, int], Model]", self.get(name))
        return build(config, vocabulary_size)


MODELS = ModelRegistry("recmodels.models", "Model", "model")
