"""Plug-ins that are parts of a network: each has a nested `Config`, and a part's settings are checked by its name."""

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from recmodels.errors import UnknownNameError
from recmodels.registry import Registry, explain_settings

PartT = TypeVar("PartT")


class PartConfig(BaseModel):
    """Base of a part's nested `Config`: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _HasConfig(Protocol):
    Config: type[PartConfig]


class PartRegistry(Registry, Generic[PartT]):
    """The parts of one kind by name. Listing them imports none."""

    def config(self, name: str, values: Mapping[str, Any]) -> PartConfig:
        """Validate the settings of one part.

        Args:
            name: Of the part.
            values: Fields of its own `Config`; those left out take their defaults.

        Raises:
            ValueError: No part has this name, a field is unknown, or a value is out of its range.
        """
        try:
            config_class = cast("_HasConfig", self.get(name)).Config
        except UnknownNameError as error:
            raise ValueError(str(error)) from error
        try:
            return config_class.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(explain_settings(self.kind, name, config_class, error)) from error

    def part(self, name: str) -> type[PartT]:
        """Return the class that the part called `name` defines.

        Raises:
            UnknownNameError: No part has this name.
        """
        return cast("type[PartT]", self.get(name))
