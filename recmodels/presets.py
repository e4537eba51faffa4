"""Recipes to start from, with settings chosen on the validation part of ML-100K (100,000 events, 1,682 items)."""

from collections.abc import Callable

from recmodels.recipe import DataConfig, ModelChoice, Recipe, TrainerConfig

_ANY = DataConfig()


def popularity(data: DataConfig = _ANY) -> Recipe:
    """Return the floor: the most consumed items.

    Args:
        data: Which interactions count, for this and the other presets.
    """
    return Recipe(name="popularity", model=ModelChoice(name="popularity"), data=data)


def item_knn(data: DataConfig = _ANY) -> Recipe:
    """Return item neighbours by cosine similarity."""
    return Recipe(name="item_knn", model=ModelChoice(name="item_knn"), data=data)


def ease(data: DataConfig = _ANY) -> Recipe:
    """Return the closed-form linear model."""
    return Recipe(name="ease", model=ModelChoice(name="ease"), data=data)


def sasrec(data: DataConfig = _ANY) -> Recipe:
    """Return the transformer; about half a minute on one core for ML-100K."""
    return Recipe(name="sasrec", model=ModelChoice(name="sasrec"), data=data, trainer=TrainerConfig())


PRESETS: dict[str, Callable[[DataConfig], Recipe]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "ease": ease,
    "sasrec": sasrec,
}
"""Every preset by name."""


def presets(data: DataConfig = _ANY) -> list[Recipe]:
    """Return every preset for one choice of data."""
    return [make(data) for make in PRESETS.values()]
