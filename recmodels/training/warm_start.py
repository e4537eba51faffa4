"""The weights that training goes on from: a champion's, its item rows moved by id to a catalogue that has grown."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.splits import TrainPart
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.errors import TrainingError
from recmodels.layers.item_table import ItemTable
from recmodels.lineage import WarmStartReport, too_late
from recmodels.models._gradient import GradientModel
from recmodels.recipe import Recipe
from recmodels.retrieval.newcomers import Newcomers, attach, group_vectors
from recmodels.weights import load_weights, vectors_of

_NOISE = 0.01
"""Of a new row, as a share of the spread of the known ones. Two new items of one creator would else be the same row,
so that they score the same for everybody and stand in the order of their indices; this is enough to tell them apart."""
_FROM_SCRATCH = "Set warm_start.enabled to false to train from scratch"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Parent:
    """A bundle whose training is gone on with.

    Attributes:
        bundle: Loaded, so that every file was compared with its digest.
        weights: What `load_weights` gives of it.
    """

    bundle: Bundle
    weights: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, bundle: Bundle) -> "Parent":
        """Read the weights of a bundle.

        Raises:
            BundleError: It holds none, or they are damaged.
        """
        return cls(bundle, load_weights(bundle))


def go_on(model: GradientModel, parent: Parent, *, recipe: Recipe, part: TrainPart, seed: int) -> WarmStartReport:
    """Give a new model the weights of a parent.

    Everything but the items is copied. An item that both know keeps its row, wherever it stands in either vocabulary.
    A new one starts in the direction of the mean of its creator's items, else of its category's, else of all, as the
    gateway scores newcomers. The mean of many vectors is short, and a row that starts short enters no list for many
    epochs (docs/log.md); so it is given its neighbours' mean length, and a little noise (`_NOISE`). The optimizer
    starts anew.

    Args:
        model: Of the new recipe and the new vocabulary's size; its weights are replaced.
        parent: What is gone on from.
        recipe: What is to be trained.
        part: The new catalogue and training data.
        seed: Of the noise.

    Raises:
        TrainingError: The parent is of another model or shape, has learned from later events than the new training
            part holds, or the weights are not those of its model.
    """
    _check_recipe(model, parent.bundle, recipe)
    _check_time(parent.bundle, part, may_equal=recipe.adaptation.is_on)
    fresh = attach(parent.bundle, part.items, version=0)
    own = model.state_dict()
    tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, ItemTable)}
    found = {name: vectors_of(parent.bundle) for name in tables - parent.weights.keys()} | parent.weights
    _check_shapes(parent.bundle, own, found, tables)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0, len(fresh)]))
    grown = {name: carry_rows(found[name], parent.bundle, part, fresh, rng=rng) for name in sorted(tables)}
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in (found | grown).items()})
    report = _report(parent.bundle, part, fresh)
    logger.info("%s", report.words)
    return report


def carry_rows(
    table: NDArray[np.float32], parent: Bundle, part: TrainPart, fresh: Newcomers, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the rows of a table by the new catalogue.

    Args:
        table: (V, D) by the parent's vocabulary.
        parent: Whose vocabulary that is.
        part: With the new vocabulary, of V' entries.
        fresh: What of the new catalogue the parent does not know, with its neighbours.
        rng: Of the noise on new rows.

    Returns:
        (V', D); rows 0 and 1 stay as they are.
    """
    places = parent.vocabulary.encode(part.vocabulary.ids)  # (N',) in the parent's vocabulary
    rows = np.concatenate([table[:FIRST_ITEM], table[places]])  # (V', D)
    spread = float(table[FIRST_ITEM:].std())
    noise = rng.normal(scale=_NOISE * spread, size=(len(fresh), table.shape[1])).astype(np.float32)
    rows[part.vocabulary.encode(fresh.item_ids)] = group_vectors(fresh.groups, table)[fresh.group_of] + noise
    return rows


def _report(parent: Bundle, part: TrainPart, fresh: Newcomers) -> WarmStartReport:
    carried = int((parent.vocabulary.encode(part.vocabulary.ids) != UNKNOWN).sum())
    neighbours = np.diff(fresh.groups.indptr)[fresh.group_of]  # (M,)
    return WarmStartReport(
        parent=parent.digest,
        since=parent.manifest.trained_until,
        items_carried=carried,
        items_new=len(fresh),
        items_without_neighbours=int((neighbours == len(parent.vocabulary)).sum()),
        items_dropped=len(parent.vocabulary) - carried,
    )


def _check_recipe(model: GradientModel, parent: Bundle, recipe: Recipe) -> None:
    if parent.manifest.model != recipe.model.name:
        raise TrainingError(
            f"a {recipe.model.name} cannot go on from bundle {parent.digest[:12]}, which is a "
            f"{parent.manifest.model}. {_FROM_SCRATCH}."
        )
    before: dict[str, Any] = parent.manifest.recipe["model"]["config"]
    now = recipe.model.config
    fixed = sorted((before.keys() | now.keys()) - model.training_fields)
    differ = [
        f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in fixed if before.get(name) != now.get(name)
    ]
    if differ:
        raise TrainingError(
            f"{recipe.name} cannot go on from bundle {parent.digest[:12]}: its weights mean something else under "
            f"another model.config ({', '.join(differ)}). {_FROM_SCRATCH}, or keep these fields; "
            f"{', '.join(sorted(model.training_fields)) or 'none'} may change."
        )


def _check_time(parent: Bundle, part: TrainPart, *, may_equal: bool) -> None:
    if late := too_late(parent.digest, parent.manifest, train_until=part.train_until, may_equal=may_equal):
        raise TrainingError(f"{late}. {_FROM_SCRATCH}, or choose a later cutoff.")


def _check_shapes(
    parent: Bundle, own: dict[str, torch.Tensor], found: dict[str, NDArray[np.float32]], tables: set[str]
) -> None:
    """Refuse weights that are not of this model, whatever the recipes say.

    Raises:
        TrainingError: A name is missing or unknown, or a shape differs in more than the number of items.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
    wanted |= {name: (parent.vocabulary.size, *wanted[name][1:]) for name in tables}
    given = {name: array.shape for name, array in found.items()}
    if wanted != given:
        differ = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise TrainingError(
            f"the weights of bundle {parent.digest[:12]} are not those of this model: "
            + ", ".join(f"{name} is {_shape(given.get(name))}, not {_shape(wanted.get(name))}" for name in differ[:4])
            + f" ({len(differ)} of {len(wanted)} differ). {_FROM_SCRATCH}."
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape))
