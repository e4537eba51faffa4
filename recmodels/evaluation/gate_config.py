"""What the gate asks of a model before it may meet a user."""

from pydantic import BaseModel, ConfigDict, Field


class GateConfig(BaseModel):
    """What a model must reach before it may meet a user."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str = "ndcg_at_10"
    """The metric that the quality checks read."""
    minimum_users: int = Field(20, ge=2)
    """Fewest test users on which a model is judged."""
    minimum_queries: int = Field(50, ge=1)
    """Fewest test queries on which a model is judged."""
    minimum_value: float = Field(0.0, ge=0, lt=1)
    """The metric must be above this value, whatever the data."""
    chance_factor: float = Field(2.0, ge=0)
    """The metric must be at least this many times that of a random order of the same catalogue."""
    floor_share: float = Field(0.5, ge=0)
    """The metric must be at least this share of recent popularity's."""
    maximum_relative_drop: float = Field(0.1, ge=0, le=1)
    """Largest fall below the champion, relative to it, that is let through while it is not significant."""
    minimum_coverage: float = Field(0.0, ge=0, le=1)
    """Smallest share of the catalogue that must be shown to somebody."""
    champion_coverage_share: float = Field(0.5, ge=0)
    """Smallest coverage as a share of the champion's."""
    maximum_gini: float | None = Field(None, ge=0, le=1)
    """Largest Gini coefficient of how often items are shown; not checked when absent."""
    minimum_diversity: float | None = Field(None, ge=0, le=1)
    """Smallest mean share of the pairs in a list that have no category in common; not checked when absent."""
    minimum_distance: float | None = Field(None, ge=0, le=2)
    """Smallest mean distance, 1 - cosine of the item vectors, of the pairs in a list; not checked when absent, and
    an error for a model without item vectors."""
    maximum_creator_gini: float | None = Field(None, ge=0, le=1)
    """Largest Gini coefficient of how often creators are shown; not checked when absent."""
    coverage_at: int = Field(10, ge=1)
    """List length at which coverage, diversity, distance and the Gini coefficients are read."""
    slice_kinds: tuple[str, ...] = ("user",)
    """Kinds of slices in which a significant fall refuses: `user`, `surface`, `item`. The others are only reported:
    head and tail items trade against each other, and among many surfaces a better model nearly always loses one."""
    minimum_slice_users: int = Field(50, ge=2)
    """A slice with fewer users in common with the champion is not judged."""
    maximum_forgetting: float = Field(0.05, ge=0, le=1)
    """Largest fall of a warm start below the champion among older users, relative to the champion there, that is let
    through: beyond it with its whole interval, the model has forgotten."""
    maximum_group_gap: float | None = Field(None, ge=0, le=1)
    """Largest gap between two groups of users of a kind, relative to the better one, that is let through: beyond it
    with its whole interval, the model is refused. Not checked when absent, as all limits of fairness below."""
    gap_kinds: tuple[str, ...] = ("user", "activity")
    """Kinds of groups in which `maximum_group_gap` holds: `user`, `activity`, `surface`, or an attribute that
    `evaluation.user_groups` names."""
    maximum_popularity_lift: float | None = Field(None, gt=0)
    """Largest mean popularity of what is shown, over that of what the same users took before."""
    maximum_calibration_kl: float | None = Field(None, ge=0)
    """Largest mean divergence of the categories of lists from those of histories, in nats."""
    minimum_small_creator_exposure: float | None = Field(None, ge=0)
    """Smallest exposure of small creators, as a share of their part in consumption."""
    minimum_new_item_exposure: float | None = Field(None, ge=0)
    """Smallest exposure of new items, as a share of their part in consumption."""
    maximum_missing_rise: float = Field(0.05, ge=0, le=1)
    """Largest share of the targets outside the model's catalogue, beyond that of the champion or of recent popularity,
    whichever is smaller: a model that knows fewer of today's items was built on an old catalogue."""
    maximum_latency_seconds: float = Field(0.1, gt=0)
    """Longest median time to one list, on the machine that asks the gate."""
    maximum_bytes: int = Field(4 * 2**30, ge=1)
    """Largest bundle; what is read into memory is about as large."""
