import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.features import FeatureBuilder, RankingRequest

DAY = 86_400 * 1_000_000


def logged_requests(world, examples, rows):
    """Say what a gateway would have been asked at each of these exposures, from the raw table alone."""
    table = world.interactions.take(
        pc.sort_indices(world.interactions, [(TIMESTAMP, "ascending"), (USER_ID, "ascending")])
    ).to_pylist()
    regions = dict(zip(world.users[USER_ID].to_pylist(), world.users["region"].to_pylist(), strict=True))
    order = Exposures.of(world.interactions)
    shown = order.table.take(pa.array(order.by_time())).to_pylist()
    for row in rows:
        own = shown[row]
        past = [e for e in table if e["user_id"] == own["user_id"] and e["timestamp"] < own["timestamp"]]
        clicks = [e for e in past if e["clicked"]]
        request = RankingRequest(
            history=[e["item_id"] for e in clicks],
            timestamps=[as_microseconds(e["timestamp"]) for e in clicks],
            moment=as_microseconds(own["timestamp"]),
            surface=own["surface"],
            query=own["query"],
            attributes={"region": regions[own["user_id"]], "shoe_size": "44"},
        )
        yield row, own, request


def test_a_logged_request_has_the_bits_of_its_training_row_when_it_is_replayed(world, parts):
    whole = parts.builder.examples(world)
    rng = np.random.default_rng(3)
    searched = np.flatnonzero(whole.queries.any(axis=1))
    rows = np.concatenate([rng.choice(len(whole), 40, replace=False), rng.choice(searched, 5, replace=False)])
    everything = world.items[ITEM_ID].to_pylist()
    nightly = {}
    for row, own, request in logged_requests(world, whole, rows):
        day = own["timestamp"].date()
        if day not in nightly:
            nightly[day] = parts.builder.refreshed(world.interactions, moment=own["timestamp"])
        builder = nightly[day]
        others = rng.choice(everything, 5, replace=False).tolist()
        served = builder.for_request(request, [*others, own["item_id"]]).take(np.array([5]))
        logged = whole.take(np.array([row]))
        for name in ("items", "categorical", "numeric", "surfaces", "queries", "timestamps"):
            assert getattr(served, name).tobytes() == getattr(logged, name).tobytes(), name
        assert served.histories.row(0).tolist() == logged.histories.row(0).tolist()


def test_features_are_those_of_the_state_that_was_saved_when_it_is_loaded(world, parts, tmp_path):
    state = parts.builder.state
    state.save(tmp_path)
    loaded = FeatureBuilder(type(state).load(tmp_path))
    request = RankingRequest(["v000001", "v000002"], None, DAY * 19_000, "search", "Cooking!", {"region": "north"})
    one, other = (b.for_request(request, ["v000003", "v000004", "nothing"]) for b in (parts.builder, loaded))
    assert loaded.spec == parts.builder.spec
    assert loaded.config == parts.builder.config
    for name in ("items", "categorical", "numeric", "surfaces", "queries"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert not list(tmp_path.glob("*.pkl"))
    assert not any(user.encode() in path.read_bytes() for user in ("u000001", "u000042") for path in tmp_path.iterdir())
