"""What a person chooses in Prefect's form: each choice typed, so that form and server refuse what a flow would refuse.

The catalogues of sources and presets become lists to choose from, a project's own plug-ins among them.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from flows.references import Traffic
from flows.replay import REPLAY_CANARY
from monitoring.canary.arms import CanaryConfig
from recmodels.data.sources import SOURCES
from recmodels.presets import PRESETS, STANDARD
from recmodels.recipe import Recipe
from recmodels.spelling import did_you_mean


def _one_of(kind: str, names: Callable[[], tuple[str, ...]]) -> tuple[AfterValidator, Any]:
    """Return what makes a text one of a catalogue's names: for whoever reads it, and for whoever draws a form."""

    def check(name: str) -> str:
        known = names()
        if name not in known:
            raise ValueError(f"{kind} {name!r} is not known.{did_you_mean(name, known)} Known: {', '.join(known)}")
        return name

    def draw(schema: dict[str, Any]) -> None:
        schema["enum"] = list(names())

    return AfterValidator(check), Field(json_schema_extra=draw)


SourceName = Annotated[str, *_one_of("source", SOURCES.names)]
PresetName = Annotated[str, *_one_of("preset", lambda: tuple(PRESETS))]


class Form(BaseModel):
    """Base of what a form asks for: frozen, unknown fields refused, each field's docstring beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataForm(Form):
    """The data."""

    source: SourceName
    """What reads it."""
    path: str = Field(min_length=1)
    """File, folder or pattern on the machine that runs flows; bundled:ml-100k for the demo's data."""
    options: dict[str, JsonValue] = {}
    """Options of the source, such as timestamp_unit."""
    name: str = ""
    """Name of the data set, where it is not the source's own."""
    label: Literal["", "any", "rating", "clicked", "liked", "long_viewed", "watch_seconds"] = ""
    """What makes an interaction positive; empty for long_viewed of kuairand, any of the others."""


class RecipeForm(Form):
    """What is trained."""

    presets: tuple[PresetName, ...] = STANDARD
    """Recipes that come with Everfeed."""
    recipes: tuple[Recipe, ...] = ()
    """Recipes of your own, beside the presets."""
    overrides: tuple[str, ...] = ()
    """Changes to every recipe, such as trainer.epochs=3."""


class PolicyForm(Form):
    """How the challenger comes to people."""

    traffic: Traffic = Traffic.LIVE
    """live: people meet it, step by step; replay: resampled held-out users, until it is decided."""
    requires_approval: bool = False
    """What would be promoted is held until a person promotes it."""
    delta: float = Field(0.05, gt=0, lt=1)
    """A challenger may be worse by this share of the champion's rate and still be promoted."""
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    """What happens at the deadline when nothing was decided."""

    def canary(self) -> CanaryConfig:
        """Return the terms of the rollout."""
        base = REPLAY_CANARY if self.traffic == Traffic.REPLAY else CanaryConfig()
        ending = {} if self.traffic == Traffic.REPLAY else {"on_inconclusive": self.on_inconclusive}
        return base.model_copy(update={"requires_approval": self.requires_approval, "delta": self.delta, **ending})
