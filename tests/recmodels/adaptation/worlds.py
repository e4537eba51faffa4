"""Two surfaces: on `video` the next item is the next of the circle, on `live` the one after that."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.bundle import Bundle, load_bundle
from recmodels.data.entities import normalise_items
from recmodels.data.interactions import normalise
from recmodels.data.schema import ITEM_ID, SURFACE, TIMESTAMP, USER_ID
from recmodels.data.splits import Split, split_interactions
from recmodels.recipe import DataConfig, Recipe, SplitConfig, parse_recipe
from recmodels.training.trainer import train
from tests.recmodels.worlds import CIRCLE_LENGTH, CIRCLES, DAY, START, a_recipe, write_trained

_CUTS = SplitConfig(validation_from=datetime(2025, 2, 9, tzinfo=UTC), test_from=datetime(2025, 2, 20, tzinfo=UTC))
_CONFIG = {"embedding_dim": 16, "max_length": 8, "num_layers": 1, "dropout": 0.0}


def interactions(*, users: int = 160, steps: int = 6) -> pa.Table:
    """One half of the users steps by one on `video`, the other by two on `live`."""
    rng = np.random.default_rng(0)
    user, step = np.divmod(np.arange(users * steps), steps)
    stride = 1 + user % 2
    circle, first = rng.integers(0, CIRCLES, size=users)[user], rng.integers(0, CIRCLE_LENGTH, size=users)[user]
    moment = START + rng.integers(0, 60 * DAY, size=users)[user] + step * 3_600_000_000
    places = (first + step * stride) % CIRCLE_LENGTH
    return normalise(
        pa.table(
            {
                USER_ID: [f"u{n}" for n in user],
                ITEM_ID: [f"c{c}-{p}" for c, p in zip(circle, places, strict=True)],
                TIMESTAMP: pa.array(moment, pa.timestamp("us", tz="UTC")),
                SURFACE: np.where(stride == 1, "video", "live"),
            }
        ),
        source="strides",
    )


def split_of(*surfaces: str) -> Split:
    rows = interactions()
    ids = [f"c{c}-{p}" for c in range(CIRCLES) for p in range(CIRCLE_LENGTH)]
    items = normalise_items(pa.table({ITEM_ID: ids}), rows, source="strides")
    chosen = rows.filter(pc.is_in(rows[SURFACE], value_set=pa.array(surfaces)))
    return split_interactions(chosen, items, data=DataConfig(), split=_CUTS)


def backbone(model: str = "sasrec", **config: object) -> Recipe:
    return a_recipe(model, _CONFIG | config, epochs=8, batch_size=16, learning_rate=1e-2)


def a_parent(root, recipe: Recipe | None = None) -> Bundle:
    recipe, split = recipe or backbone(), split_of("video")
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    return load_bundle(root, write_trained(root, trained, recipe=recipe, split=split))


def adapting(parent: Bundle, method: str, **fields: object) -> Recipe:
    values = {"method": method, "parent": parent.digest, "surfaces": ["live"], "learning_rate": 1e-2, "epochs": 6}
    recipe = parent.manifest.recipe | {"name": f"adapted-{method}", "adaptation": values | fields}
    return parse_recipe(recipe)
