"""How a bundle's model is adapted to surfaces that it knows little of, as a recipe says it; free of torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AdaptationConfig(BaseModel):
    """Which surfaces a parent is adapted to, by how much of their data, and what of it may move."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["none", "frozen", "prefix", "low_rank", "full"] = "none"
    """`none`: no adaptation. `frozen`: the parent as it is, over the new catalogue. `prefix`: vectors before the
    history. `low_rank`: a product of two narrow matrices added to every linear layer of the encoder. `full`: all
    weights."""
    parent: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    """Digest of the bundle that is adapted."""
    surfaces: tuple[str, ...] = ()
    """Whose events are to be predicted; histories hold those of all surfaces."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the users with an event on these surfaces, the share that is learned from; at least one user."""
    epochs: int = Field(30, ge=1)
    """Most passes, in place of `trainer.epochs`; `trainer.patience` still ends training before."""
    learning_rate: float = Field(1e-3, gt=0)
    """In place of `trainer.learning_rate`."""
    rank: int = Field(8, ge=1)
    """Inner size of the two matrices (`low_rank`)."""
    scale: float = Field(2.0, gt=0)
    """Factor of their product (`low_rank`): alpha / rank of Hu et al. 2021."""
    prefix_length: int = Field(4, ge=1, le=64)
    """Vectors before the history (`prefix`)."""
    prefix_hidden: int = Field(32, ge=1)
    """Size of the surface's own vector, and of the hidden layer that makes the prefix of it (`prefix`)."""

    @model_validator(mode="after")
    def _is_complete(self) -> "AdaptationConfig":
        if self.is_on and not self.surfaces:
            raise ValueError(f"method {self.method!r} adapts to surfaces, but none is named; name some in surfaces")
        if self.is_on and not self.parent:
            raise ValueError(f"method {self.method!r} adapts a bundle, but none is named; set parent to its digest")
        return self

    @property
    def is_on(self) -> bool:
        """Whether a parent is adapted at all."""
        return self.method != "none"

    @property
    def keeps_backbone(self) -> bool:
        """Whether the parent's own weights stay as they are, so that the change is a file of its own."""
        return self.method in {"prefix", "low_rank"}
