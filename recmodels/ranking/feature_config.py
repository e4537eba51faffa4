"""What a ranker's features are made of: how far back, how smoothed, how large the vocabularies."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recmodels.data.schema import SIGNED_UP_AT, USER_ID

Feedback = Literal["clicked", "liked", "shared", "followed", "commented", "hidden", "long_viewed"]


class FeatureConfig(BaseModel):
    """Settings of `FeatureBuilder`; they are kept with its state."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    history_label: Feedback | Literal["any"] = "clicked"
    """Which earlier exposures are a history: those with this feedback, or any at all. It should be what the gateway is
    given as history."""
    max_history: int = Field(50, ge=1, le=1000)
    """L, most events of a history; older ones are unseen, by features too."""
    rates: tuple[Feedback, ...] = ("clicked", "long_viewed", "liked")
    """Kinds of feedback whose past rates are features, where the data has them."""
    leave_out: tuple[str, ...] = ()
    """Numeric columns that are not built, by name, such as for an ablation."""
    smoothing: float = Field(20.0, gt=0)
    """Exposures at the rate of everything that every rate starts with."""
    minimum_item_rows: int = Field(1, ge=1)
    """Training exposures from which on an item has an index of its own; below it, it is unknown and not a history."""
    minimum_value_rows: int = Field(10, ge=1)
    """Training exposures from which on a creator, category or attribute value has an index of its own."""
    minimum_surface_rows: int = Field(1000, ge=1)
    """Training exposures from which on a surface stands for itself; the others are pooled."""
    user_attributes: tuple[str, ...] = ()
    """Columns of the users table that are features; none unless named, since a request must name them, too."""
    utc_offset_hours: int = Field(0, ge=-12, le=14)
    """Hours by which local time is ahead of UTC: of what a day, an hour and a weekday are."""
    clip: float = Field(8.0, gt=0)
    """Most standard deviations that a number may lie from the mean; further ones are brought there."""
    query_buckets: int = Field(2**14, ge=2, le=2**24)
    """Numbers that pieces of a query are hashed to."""
    max_query: int = Field(48, ge=1, le=1000)
    """Q, most pieces of a query, words before runs of letters; the rest is not read."""
    max_query_letters: int = Field(256, ge=1, le=10_000)
    """Letters that are read of a query; what follows is cut."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name, values in (("rates", self.rates), ("user_attributes", self.user_attributes)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names a column twice: {', '.join(values)}. Name each once.")
        forbidden = {USER_ID, SIGNED_UP_AT} & set(self.user_attributes)
        if forbidden:
            raise ValueError(f"user_attributes names {forbidden.pop()!r}, which tells who somebody is; leave it out.")
        return self
