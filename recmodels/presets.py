"""Recipes to start from, with settings chosen on the validation part of ML-100K: 69,997 events, 1,573 items.

esasrec, gru, nextitnet and hstu began with those of sasrec; two or three other settings were tried of each, on one
seed.
"""

from collections.abc import Callable

from pydantic import JsonValue

from recmodels.recipe import DataConfig, ModelChoice, Recipe
from recmodels.trainer_config import TrainerConfig

_ANY = DataConfig()


def popularity(data: DataConfig = _ANY) -> Recipe:
    """Return the floor: the most consumed items of the last weeks.

    Args:
        data: Which interactions count, for this and the other presets.
    """
    return Recipe(name="popularity", model=ModelChoice(name="popularity", config={"window_days": 45}), data=data)


def item_knn(data: DataConfig = _ANY) -> Recipe:
    """Return item neighbours by cosine similarity, of a history's last events only."""
    config = {"neighbours": 100, "shrinkage": 10.0, "history_length": 10}
    return Recipe(name="item_knn", model=ModelChoice(name="item_knn", config=config), data=data)


def ease(data: DataConfig = _ANY) -> Recipe:
    """Return the closed-form linear model, on a history's last events only."""
    config = {"regularisation": 400.0, "neighbours": 1000, "history_length": 10}
    return Recipe(name="ease", model=ModelChoice(name="ease", config=config), data=data)


def ials(data: DataConfig = _ANY) -> Recipe:
    """Return factors by alternating least squares, on a history's last events only; best of 24 settings on one seed."""
    config = {"factors": 64, "regularisation": 30.0, "confidence": 8.0, "history_length": 10}
    return Recipe(name="ials", model=ModelChoice(name="ials", config=config), data=data)


def sasrec(data: DataConfig = _ANY) -> Recipe:
    """Return the transformer with a softmax over sampled items; under a minute on one core for ML-100K."""
    return _sequence("sasrec", data, num_layers=1)


def esasrec(data: DataConfig = _ANY) -> Recipe:
    """Return the transformer with gated blocks."""
    return _sequence("esasrec", data, num_layers=1)


def gru(data: DataConfig = _ANY) -> Recipe:
    """Return the recurrent network."""
    return _sequence("gru", data, hidden_dim=128, dropout=0.2)


def nextitnet(data: DataConfig = _ANY) -> Recipe:
    """Return the dilated convolutions."""
    return _sequence("nextitnet", data, num_layers=2)


def two_tower(data: DataConfig = _ANY) -> Recipe:
    """Return weighted means of the history against items of id and labels; 8 settings were tried.

    Ids alone are as good there within a seed's noise, titles by the default encoder worse (docs/log.md); a catalogue
    that says more of its items may differ.
    """
    return _sequence("two_tower", data, content={"text": None})


def hstu(data: DataConfig = _ANY) -> Recipe:
    """Return the attention without softmax, with the times between events; `time_bias` false where there are none."""
    return _sequence("hstu", data, num_layers=2, dropout=0.2)


def _sequence(name: str, data: DataConfig, **own: JsonValue) -> Recipe:
    config: dict[str, JsonValue] = {"embedding_dim": 64, "max_length": 50, "dropout": 0.4, "negatives": 512}
    trainer = TrainerConfig(epochs=40, batch_size=32, learning_rate=2e-3, patience=3)
    return Recipe(name=name, model=ModelChoice(name=name, config=config | own), data=data, trainer=trainer)


PRESETS: dict[str, Callable[[DataConfig], Recipe]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "ease": ease,
    "ials": ials,
    "sasrec": sasrec,
    "esasrec": esasrec,
    "gru": gru,
    "nextitnet": nextitnet,
    "two_tower": two_tower,
    "hstu": hstu,
}
"""Every preset by name."""

STANDARD = ("popularity", "item_knn", "ease", "sasrec")
"""What is trained where nobody names a preset: one model of each kind."""


def presets(data: DataConfig = _ANY) -> list[Recipe]:
    """Return the standard presets for one choice of data."""
    return [PRESETS[name](data) for name in STANDARD]
