"""The whole definition of a run: data, split, model, trainer, search, evaluation, gate. Its hash is its identity."""

import hashlib
import json
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from recmodels.adaptation.config import AdaptationConfig
from recmodels.errors import RecipeError
from recmodels.evaluation.gate import GateConfig
from recmodels.lineage import WarmStartConfig
from recmodels.models import MODELS
from recmodels.ranking.choice import RankingChoice
from recmodels.reranking.config import RerankingConfig
from recmodels.retrieval.config import RetrievalConfig
from recmodels.trainer_config import Config, TrainerConfig


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]
"""A moment in UTC; one without a time zone is taken as UTC."""


_EXAMPLE = '{"name": "first", "model": {"name": "popularity"}}'


class DataConfig(Config):
    """Which interactions a model learns from and is judged on."""

    label: Literal["any", "rating", "clicked", "liked", "long_viewed", "watch_seconds"] = "any"
    """What makes an interaction positive: it exists (`any`), or the named column is true or reaches `label_minimum`."""
    label_minimum: float = 0.0
    """Smallest value of `rating` or `watch_seconds` that counts as positive."""
    minimum_item_interactions: int = Field(1, ge=1)
    """Items with fewer positive training interactions are left out of the catalogue."""
    maximum_repeats: int = Field(3, ge=1)
    """Of one user's positive training interactions with one item, the latest so many are learned from: nobody makes an
    item popular alone. What a model is asked and judged on is left as it is."""


class SplitConfig(Config):
    """How the interactions are divided into training, validation and test parts."""

    kind: Literal["time", "leave_one_out"] = "time"
    """`time` cuts everybody at two moments; `leave_one_out` exists to compare with papers only."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of all interactions between the two moments (`time`)."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of all interactions after the second moment (`time`)."""
    validation_from: Moment | None = None
    """First moment as a date (UTC) instead of a share."""
    test_from: Moment | None = None
    """Second moment as a date (UTC) instead of a share."""

    @model_validator(mode="after")
    def _parts_leave_something(self) -> "SplitConfig":
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("give both validation_from and test_from, or neither")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must be below 1, or nothing is left to train on")
        return self


class ModelChoice(Config):
    """A model by its plug-in name, with the fields of that plug-in's own `Config`."""

    name: str
    config: dict[str, JsonValue] = Field(default_factory=dict, validate_default=True)
    """Completed with the plug-in's defaults, so that spelling them out does not make another recipe."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        MODELS.config(name, {})
        return name

    @field_validator("config")
    @classmethod
    def _is_known_and_complete(cls, config: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        return MODELS.config(info.data["name"], config).model_dump(mode="json") if "name" in info.data else config


class EvaluationConfig(Config):
    """What is measured on the test part."""

    top_ks: tuple[Annotated[int, Field(ge=1)], ...] = Field((10, 50), min_length=1)
    """Lengths of the lists that are judged."""
    remove_seen: bool = True
    """Items of the history are not recommended again."""
    user_groups: tuple[str, ...] = ()
    """Attribute columns of the users table whose groups are compared: named on purpose, since they say who people are.
    """
    bootstrap_samples: int = Field(1000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Recipe(Config):
    """The whole definition of a run."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[a-z0-9_.-]+$")
    model: ModelChoice
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    trainer: TrainerConfig = TrainerConfig()
    warm_start: WarmStartConfig = WarmStartConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    ranking: RankingChoice | None = None
    """A second stage that ranks what retrieval finds by what would come of showing it; None for none."""
    reranking: RerankingConfig = RerankingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    refit: bool = False
    """Train once more, for the epochs that the validation part chose, with it: to compare with papers that do. A
    lifecycle refuses it, since it deploys the bundle that it evaluated."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _gate_reads_what_is_measured(self) -> "Recipe":
        lengths = self.evaluation.top_ks
        read = (self.gate.metric, f"coverage_at_{self.gate.coverage_at}")
        missing = [name for name in read if not name.endswith(tuple(f"_at_{k}" for k in lengths))]
        if missing:
            raise ValueError(
                f"the gate reads {' and '.join(missing)}, but evaluation.top_ks measures lists of "
                f"{', '.join(map(str, lengths))} only; add the length to top_ks, or change gate.metric or "
                "gate.coverage_at"
            )
        return self

    @model_validator(mode="after")
    def _new_events_can_be_told(self) -> "Recipe":
        if self.warm_start.enabled and self.split.kind != "time":
            raise ValueError(
                f"a warm start learns from what came since the champion, which split.kind {self.split.kind!r} does not "
                "tell; set split.kind to 'time' or warm_start.enabled to false"
            )
        return self

    @model_validator(mode="after")
    def _starts_from_one_parent(self) -> "Recipe":
        if self.adaptation.is_on and (self.warm_start.enabled or self.refit):
            other = "warm_start.enabled" if self.warm_start.enabled else "refit"
            raise ValueError(
                f"adaptation starts from the bundle {self.adaptation.parent[:12]} and sees its surfaces alone; set "
                f"{other} to false, or adaptation.method to 'none'"
            )
        return self

    @model_validator(mode="after")
    def _ranker_knows_histories(self) -> "Recipe":
        if self.ranking is None:
            return self
        label, read = self.data.label, self.ranking.features.history_label
        if self.split.kind != "time":
            raise ValueError(
                f"a ranker learns from exposures in the order of time, which split.kind {self.split.kind!r} does not "
                "cut; set split.kind to 'time' or ranking to null"
            )
        if label not in ("rating", "watch_seconds") and label != read:
            raise ValueError(
                f"data.label {label!r} says what the gateway's histories hold, and ranking.features.history_label "
                f"{read!r} what the ranker takes them for; give both the same"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the identity of the run that this recipe defines."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def parse_recipe(value: dict[str, Any] | str) -> Recipe:
    """Read a recipe from a mapping or its JSON text.

    Raises:
        RecipeError: A field or model is unknown, or a value is out of its range; the message names each place.
    """
    try:
        return Recipe.model_validate_json(value) if isinstance(value, str) else Recipe.model_validate(value)
    except ValidationError as error:
        raise RecipeError(_explain(error)) from error


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """Return the recipe with dotted fields replaced, as `--set trainer.epochs=3` asks.

    Raises:
        RecipeError: A setting is not `path=value`, or the result is not a valid recipe.
    """
    tree = recipe.model_dump(mode="json")
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign or not path:
            raise RecipeError(f"override {setting!r} is not of the form path=value, such as trainer.epochs=3.")
        *parents, leaf = path.split(".")
        node: Any = tree
        for parent in parents:
            node = node.get(parent)
            if not isinstance(node, dict):
                raise RecipeError(
                    f"override {setting!r}: the recipe has no section {parent!r}. Sections: {_names(tree)}."
                )
        node[leaf] = _value(text)
    return parse_recipe(tree)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _names(tree: dict[str, Any]) -> str:
    return ", ".join(sorted(name for name, value in tree.items() if isinstance(value, dict)))


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "recipe"
        if problem["type"] == "extra_forbidden":
            words = _unknown_field(problem["loc"])
        elif problem["type"] == "json_invalid":
            words = f"{problem['msg']}. Give one JSON object, such as {_EXAMPLE}"
        elif problem["type"] == "model_type" and not problem["loc"]:
            words = f"{problem['msg']}, got {problem['input']!r}. Give one JSON object, such as {_EXAMPLE}"
        elif problem["type"] == "missing":
            words = f"is required, such as {_EXAMPLE}"
        else:
            given = "" if isinstance(problem["input"], dict | BaseModel) else f", got {problem['input']!r}"
            words = problem["msg"].removeprefix("Value error, ") + given
        problems.append(f"{place}: {words.rstrip('.')}.")
    return "The recipe is not valid. " + " ".join(problems)


def _unknown_field(place: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = Recipe
    for part in place[:-1]:
        if isinstance(part, int):
            continue  # which of several sections of one kind
        inner = section.model_fields[part].annotation
        inner = next(iter(get_args(inner)), inner)
        assert isinstance(inner, type), f"{part} is not a section"
        section = inner
    known = sorted(section.model_fields)
    near = get_close_matches(str(place[-1]), known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"no such field. {hint}Known: {', '.join(known)}"
