"""A search for hyper-parameters as data: a base recipe, which of its fields vary between what, how many trials."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue, ValidationError, model_validator

from recmodels.data.splits import Split
from recmodels.errors import RecipeError
from recmodels.recipe import Recipe, override
from recmodels.trainer_config import Config

OBJECTIVE = "ndcg_at_10"
"""What a search maximises, on the validation part; the test part has no say."""

_SECTIONS = ("model.config.", "trainer.")
_SUFFIX = "-tuned"
_MOST_NAME = 60
_EXAMPLE = (
    '{"recipe": {"name": "first", "model": {"name": "sasrec"}}, '
    '"space": {"trainer.learning_rate": {"kind": "log", "low": 0.0001, "high": 0.01}}, "trials": 20}'
)


class _Range(Config):
    """Numbers between two ends, both included."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends."""
        raise NotImplementedError

    @property
    def ends(self) -> tuple[JsonValue, ...]:
        """Values that tell whether a recipe takes this dimension."""
        return self.bounds

    def holds(self, value: JsonValue) -> bool:
        """Say whether a value is one of this dimension."""
        low, high = self.bounds
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    @model_validator(mode="after")
    def _is_a_range(self) -> "_Range":
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"low {low} must be below high {high}; a field that does not vary belongs into recipe")
        return self


class Uniform(_Range):
    """A number, every value as likely as every other."""

    kind: Literal["uniform"]
    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


class Log(_Range):
    """A number above zero, every order of magnitude as likely as every other."""

    kind: Literal["log"]
    low: float = Field(gt=0)
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


class Int(_Range):
    """A whole number from `low` on in steps."""

    kind: Literal["int"]
    low: int
    high: int
    step: int = Field(1, ge=1)
    log: bool = False
    """Every order of magnitude is as likely as every other."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    def holds(self, value: JsonValue) -> bool:
        """Say whether a value is one of this dimension."""
        return isinstance(value, int) and super().holds(value) and (value - self.low) % self.step == 0

    @model_validator(mode="after")
    def _steps_reach_the_end(self) -> "Int":
        if (self.high - self.low) % self.step:
            raise ValueError(f"steps of {self.step} from {self.low} do not reach high {self.high}; change step or high")
        if self.log and (self.step != 1 or self.low < 1):
            raise ValueError(f"log takes low >= 1 and step 1, got low {self.low} and step {self.step}")
        return self


class Choice(Config):
    """One of some values, without an order."""

    kind: Literal["choice"]
    values: tuple[bool | int | float | str | None, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _values_differ(self) -> "Choice":
        if len({json.dumps(value) for value in self.values}) < len(self.values):
            raise ValueError(f"values must differ from each other, got {list(self.values)}")
        return self

    @property
    def ends(self) -> tuple[JsonValue, ...]:
        """Values that tell whether a recipe takes this dimension."""
        return self.values

    def holds(self, value: JsonValue) -> bool:
        """Say whether a value is one of this dimension."""
        return json.dumps(value) in {json.dumps(own) for own in self.values}


Dimension = Annotated[Uniform | Log | Int | Choice, Field(discriminator="kind")]


class PrunerConfig(Config):
    """When a trial is given up before its last epoch; a closed form has no epochs, so that none is."""

    kind: Literal["median", "hyperband", "none"] = "median"
    """`median` gives up what is below the median of the earlier trials at the same epoch; `hyperband` keeps the best
    third at the 1st, 3rd, 9th ... multiple of `warmup_epochs`."""
    warmup_epochs: int = Field(3, ge=1)
    """No trial is given up before it has run so many epochs."""
    startup_trials: int = Field(4, ge=1)
    """Trials that must have come to their end before `median` gives one up."""


class SearchConfig(Config):
    """The whole definition of a search."""

    recipe: Recipe
    """What every trial is, but for the fields of `space`; the first trial is this very one, where `space` holds it."""
    space: dict[str, Dimension] = Field(min_length=1)
    """Dotted fields of the recipe, below `model.config` or `trainer`, with the values that each may take."""
    trials: int = Field(20, ge=1)
    """Trials in all, those that failed or were given up included."""
    seed: int = Field(0, ge=0)
    """Decides which values are tried; what a trial trains with is the recipe's own seed."""
    pruner: PrunerConfig = PrunerConfig()

    @model_validator(mode="after")
    def _starts_from_scratch(self) -> "SearchConfig":
        if self.recipe.warm_start.enabled:
            raise ValueError("trials are trained from scratch; set recipe.warm_start.enabled to false")
        return self

    @model_validator(mode="after")
    def _recipe_takes_the_space(self) -> "SearchConfig":
        for path in self.space:
            if not path.startswith(_SECTIONS):
                raise ValueError(
                    f"space {path!r} cannot be searched: trials that differ in it could not be compared, or it decides "
                    "nothing that validation sees. Name a field below model.config or trainer, such as "
                    "trainer.learning_rate"
                )
            for value in self.space[path].ends:
                self._require(path, value)
        return self

    def _require(self, path: str, value: JsonValue) -> None:
        """Refuse a value that no recipe of the space takes, alone or beside one value of another dimension."""
        try:
            override(self.recipe, [_setting(path, value)])
        except RecipeError as error:
            if not any(_is_taken(self.recipe, [_setting(path, value), other]) for other in self._others(path)):
                raise ValueError(f"space {path!r} holds {value!r}, which the recipe does not take: {error}") from error

    def _others(self, path: str) -> Iterator[str]:
        for other, dimension in self.space.items():
            if other != path:
                yield from (_setting(other, value) for value in dimension.ends)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the trials: all but their number, so that a search with more goes on."""
        text = json.dumps(self.model_dump(mode="json", exclude={"trials"}), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def first_values(self) -> dict[str, JsonValue] | None:
        """The base recipe as values of the space, or None where the space does not hold it."""
        tree = self.recipe.model_dump(mode="json")
        values = {path: _field(tree, path) for path in self.space}
        return values if all(self.space[path].holds(value) for path, value in values.items()) else None

    def recipe_of(self, values: Mapping[str, JsonValue]) -> Recipe:
        """Return the base recipe with a trial's values, called after what it is.

        Raises:
            RecipeError: The values do not go together.
        """
        name = self.recipe.name[: _MOST_NAME - len(_SUFFIX)] + _SUFFIX
        return override(self.recipe, [f"name={name}", *(_setting(path, value) for path, value in values.items())])


def parse_search(value: dict[str, Any] | str) -> SearchConfig:
    """Read a search from a mapping or its JSON text.

    Raises:
        RecipeError: A field is unknown, a value is out of its range, or the recipe does not take a value of the space.
    """
    try:
        return SearchConfig.model_validate_json(value) if isinstance(value, str) else SearchConfig.model_validate(value)
    except ValidationError as error:
        raise RecipeError(_explain(error)) from error


def without_test(split: Split) -> Split:
    """Return a split whose test part asks nothing, so that a search cannot look at it."""
    nothing, test = np.arange(0), split.test
    blind = replace(
        test,
        histories=test.histories.take(nothing),
        targets=test.targets.take(nothing),
        user_ids=test.user_ids[:0],
        surfaces=test.surfaces[:0],
        is_new_user=test.is_new_user[:0],
    )
    return replace(split, test=blind)


def _setting(path: str, value: JsonValue) -> str:
    return f"{path}={json.dumps(value)}"


def _field(tree: Any, path: str) -> JsonValue:
    for part in path.split("."):
        tree = tree[part]
    found: JsonValue = tree
    return found


def _is_taken(recipe: Recipe, settings: list[str]) -> bool:
    try:
        override(recipe, settings)
    except RecipeError:
        return False
    return True


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "search"
        given = "" if isinstance(problem["input"], dict | Config) else f", got {problem['input']!r}"
        words = problem["msg"].removeprefix("Value error, ").rstrip(".")
        hint = f" Give one JSON object, such as {_EXAMPLE}." if problem["type"] in _NEEDS_EXAMPLE else ""
        problems.append(f"{place}: {words}{given}.{hint}")
    return "The search is not valid. " + " ".join(problems)


_NEEDS_EXAMPLE = frozenset({"json_invalid", "model_type", "missing"})
