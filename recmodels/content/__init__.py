"""The catalogue of text encoders: each module of this folder turns what is written of items into vectors."""

from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from recmodels.errors import UnknownNameError
from recmodels.registry import Registry, explain_settings

if TYPE_CHECKING:
    from recmodels.content._contract import TextEncoder

__all__ = ["CONTENT", "ContentConfig", "TextConfig"]


class TextConfig(BaseModel):
    """Base of an encoder's nested `Config`: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ContentRegistry(Registry):
    """The encoders by name. Listing them imports none."""

    def config(self, name: str, values: dict[str, JsonValue]) -> TextConfig:
        """Validate the configuration of one encoder.

        Raises:
            ValueError: No encoder has this name, a field is unknown, or a value is out of its range.
        """
        try:
            config_class = cast("type[TextEncoder]", self.get(name)).Config
        except UnknownNameError as error:
            raise ValueError(str(error)) from error
        try:
            return config_class.model_validate(values)
        except ValidationError as error:
            raise ValueError(explain_settings(self.kind, name, config_class, error)) from error

    def build(self, name: str, values: dict[str, JsonValue]) -> "TextEncoder":
        """Return a new encoder that has seen no text yet."""
        return cast("type[TextEncoder]", self.get(name))(self.config(name, values))


CONTENT = ContentRegistry("recmodels.content", "Encoder", "text encoder")


class ContentConfig(TextConfig):
    """What a model knows of an item beside its id: its labels (categories and creator), and its text."""

    text: str | None = "hashed"
    """Encoder of `items.text`, by its name in `recmodels/content/`; None for labels alone."""
    text_config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    """Completed with the encoder's defaults, so that spelling them out does not make another recipe."""
    label_buckets: int = Field(4096, ge=1)
    """Rows that the names of categories and creators share by a hash; two names in one row are one name."""

    @field_validator("text")
    @classmethod
    def _is_known(cls, text: str | None) -> str | None:
        if text is not None:
            CONTENT.config(text, {})
        return text

    @field_validator("text_config")
    @classmethod
    def _is_known_and_complete(cls, config: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        text = info.data.get("text")
        return config if text is None else CONTENT.config(text, config).model_dump(mode="json")
