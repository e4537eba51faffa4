"""What is compared: rankers that differ in one part, and two that share nothing, with the settings that are tried.

Trial 0 is the defaults of `SPACE`; trial n is drawn from it by a generator with the seed (20261122, n). All variants
try the same draws, so that budgets are equal; of a divided variant each tab or task keeps its own best trial.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.examples import Examples
from recmodels.trainer_config import TrainerConfig

_SEED = 20261122
EPOCHS, PATIENCE = 10, 2
"""Most epochs of a training, and those without a better validation figure after which it stops."""
SPACE: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "learning_rate": (2e-3, 5e-4, 1e-3, 4e-3),
        "batch_size": (512, 256, 1024),
        "weight_decay": (0.0, 1e-4, 1e-2),
        "embedding_dim": (16, 8, 24),
        "dropout": (0.1, 0.0, 0.3),
        "hidden": (64, 32, 128),
    }
)
"""What is drawn from, evenly; the first of each is the default. `hidden` is the last layer of the backbone."""

WHOLE, WATCH = "all", "watch"
"""Names of parts: everything, and watch time alone."""


@dataclass(frozen=True)
class Variant:
    """One way to rank.

    Attributes:
        backbone: By its name.
        multi_task: By its name.
        scenario: By its name.
        watch_time: By its name.
        division: One network for all, for each surface, or for each task.
    """

    backbone: str = "dcn_v2"
    multi_task: str = "mmoe"
    scenario: str = "none"
    watch_time: str = "ordinal"
    division: Literal["none", "surface", "task"] = "none"

    def network(self, settings: Mapping[str, Any]) -> NetworkConfig:
        """Return the network of a trial."""
        dropout, hidden = settings["dropout"], settings["hidden"]
        own = {"deep_dims": [2 * hidden, hidden]} if self.backbone == "dcn_v2" else {"token_dim": hidden}
        return NetworkConfig.model_validate(
            {
                "embedding_dim": settings["embedding_dim"],
                "backbone": self.backbone,
                "backbone_config": own | {"dropout": dropout},
                "multi_task": self.multi_task,
                "multi_task_config": {"dropout": dropout},
                "scenario": self.scenario,
                "watch_time": self.watch_time,
            }
        )

    def parts(self, examples: Examples) -> tuple[str, ...]:
        """Return the names of the networks that the variant is made of."""
        if self.division == "surface":
            present = np.unique(examples.surfaces)
            return tuple(examples.spec.surfaces[number] for number in present)
        return (*examples.spec.tasks, WATCH) if self.division == "task" else (WHOLE,)


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "pepnet": Variant(scenario="pepnet"),
        "one_model_a_tab": Variant(division="surface"),
        "single_task": Variant(multi_task="shared", division="task"),
        "mmoe": Variant(),
        "shared": Variant(multi_task="shared"),
        "ple": Variant(multi_task="ple"),
        "star": Variant(scenario="star"),
        "sar": Variant(scenario="sar"),
        "rankmixer": Variant(backbone="rankmixer"),
        "rankmixer_pepnet": Variant(backbone="rankmixer", scenario="pepnet"),
        "mmoe_d2q": Variant(watch_time="d2q"),
        "mmoe_quantile": Variant(watch_time="quantile"),
        "mmoe_weighted_logistic": Variant(watch_time="weighted_logistic"),
    }
)
"""By name; DCN-V2, MMoE, no adapter and the ordinal head where the name does not say otherwise."""


def settings_of(trial: int) -> dict[str, Any]:
    """Return what a trial tries."""
    rng = np.random.default_rng([_SEED, trial])
    return {name: values[int(rng.integers(len(values))) if trial else 0] for name, values in SPACE.items()}


def trainer_of(settings: Mapping[str, Any]) -> TrainerConfig:
    """Return how a trial trains."""
    names = ("learning_rate", "batch_size", "weight_decay")
    return TrainerConfig(epochs=EPOCHS, patience=PATIENCE, **{name: settings[name] for name in names})


def restrict(examples: Examples, part: str, division: str) -> Examples:
    """Return the rows, or the labels, that a part of a variant is about.

    The network for watch time has a first label that is always 0, since a network has at least one: it teaches nothing.
    """
    spec = examples.spec
    if division == "surface":
        return examples.take(rows_of(examples, part))
    if division == "none":
        return examples
    task = spec.tasks[0] if part == WATCH else part
    labels = examples.labels[:, [spec.tasks.index(task)]]
    return replace(
        examples, spec=replace(spec, tasks=(task,)), labels=np.zeros_like(labels) if part == WATCH else labels
    )


def network_of(variant: Variant, part: str, settings: Mapping[str, Any]) -> NetworkConfig:
    """Return the network of a part: one of a single task predicts no watch time."""
    config = variant.network(settings)
    if variant.division == "task" and part != WATCH:
        return config.model_copy(update={"watch_time": None})
    return config


def rows_of(examples: Examples, surface: str) -> np.ndarray:
    """Return the rows of one surface."""
    return np.flatnonzero(examples.surfaces == examples.spec.surfaces.index(surface))


def each(names: list[str]) -> Iterator[tuple[str, Variant]]:
    """Give the variants of these names.

    Raises:
        SystemExit: One is not known.
    """
    for name in names:
        if name not in VARIANTS:
            raise SystemExit(f"the variant {name!r} is not known. Known: {', '.join(VARIANTS)}.")
        yield name, VARIANTS[name]
