"""How anything with a gradient is trained: what recipes say of models and of rankers alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Base of every part of a recipe: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainerConfig(Config):
    """How a model with a gradient is trained; closed forms ignore it."""

    epochs: int = Field(50, ge=1)
    """Most passes over the training histories."""
    batch_size: int = Field(128, ge=1)
    """Histories a step."""
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of the learning rate after warming up; all but `constant` reach 0 at the last step of `epochs`."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the learning rate grows to its full size."""
    weight_decay: float = Field(0.0, ge=0)
    gradient_norm: float = Field(5.0, gt=0)
    """Gradients are clipped to this norm."""
    averaging: float = Field(0.0, ge=0, lt=1)
    """Weights that are judged and served are a running mean that keeps this share of itself a step; 0 for the weights
    themselves."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; `auto` takes bfloat16 where the device has instructions for it."""
    item_steps: Literal["auto", "all", "rows"] = "auto"
    """Whether a step moves all rows of the item table or those that its batch names; `auto` by the table's size."""
    patience: int = Field(5, ge=1)
    """Epochs without a better validation ndcg_at_10 before training stops."""
    checkpoint_seconds: float = Field(10.0, ge=0)
    """Least time between two checkpoints, in seconds; 0 writes one after every epoch."""
