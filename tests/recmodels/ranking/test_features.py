from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import DURATION_SECONDS, ITEM_ID, SURFACE, TIMESTAMP, USER_ID
from recmodels.errors import BundleError
from recmodels.ranking.columns import HISTORY_NUMBERS, ITEM_NUMBERS
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.features import FeatureBuilder
from recmodels.ranking.fitting import fit_features
from recmodels.ranking.shown import RankingRequest
from recmodels.ranking.state import FeatureState

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


def a_request(**changes):
    return RankingRequest(**({"history": ["v000001"], "timestamps": None, "moment": MOMENT} | changes))


MOMENT = as_microseconds(datetime(2024, 1, 9, 12, tzinfo=UTC))


def column(examples, name):
    return examples.numeric[:, examples.spec.numeric.index(name)]


def test_a_surface_attribute_or_item_that_training_did_not_see_has_the_index_of_the_unknown(parts):
    found = parts.builder.for_request(a_request(surface="cinema", attributes={"region": "moon"}), ["v000001", "new"])
    assert found.surfaces.tolist() == [0, 0]
    assert found.categorical[:, found.spec.categorical.index("region")].tolist() == [0, 0]
    assert found.items[1] == 1
    assert found.categorical[1, :2].tolist() == [0, 0]
    assert not found.numeric[1, : -len(HISTORY_NUMBERS)].any()
    assert np.isnan(found.duration_seconds[1])
    known = parts.builder.for_request(a_request(), ["v000001"])
    assert known.surfaces.tolist() == [0]
    assert known.items[0] > 1


def test_surfaces_are_pooled_when_they_have_few_rows(world):
    until = datetime(2024, 1, 8, tzinfo=UTC)
    assert fit_features(world, until=until, config=FeatureConfig(minimum_surface_rows=1)).spec.surfaces == (
        "other",
        "live",
        "search",
        "video",
    )
    few = fit_features(world, until=until, config=FeatureConfig(minimum_surface_rows=700))
    assert few.spec.surfaces == ("other", "video")
    surfaces = np.array(world.interactions[SURFACE].to_pylist())
    assert (few.examples(world).surfaces == 0).sum() == (surfaces != "video").sum()


@pytest.mark.parametrize("duration", [None, 0.0, -4.0, 1e300, float("nan"), float("inf")])
def test_a_duration_is_missing_when_it_is_none_or_out_of_its_range(world, parts, duration):
    row = world.items.slice(0, 1).to_pylist()[0] | {"item_id": "odd", DURATION_SECONDS: duration}
    odd = parts.builder.with_items(pa.Table.from_pylist([row], schema=world.items.schema))
    found = odd.for_request(a_request(), ["odd", "v000000"])
    assert column(found, "log_duration")[0] == 0.0
    assert column(found, "log_duration")[1] != 0.0
    assert np.isnan(found.duration_seconds[0])


def test_a_number_is_brought_to_the_limit_when_it_lies_far_out(world, parts):
    row = world.items.slice(0, 1).to_pylist()[0] | {"item_id": "odd", DURATION_SECONDS: 9e6}
    odd = parts.builder.with_items(pa.Table.from_pylist([row], schema=world.items.schema))
    found = odd.for_request(a_request(), ["odd"])
    assert column(found, "log_duration").tolist() == [parts.builder.config.clip]
    assert np.isfinite(found.numeric).all()


def test_an_item_without_labels_is_known_by_nothing_but_itself(world, parts):
    bare = dict.fromkeys(world.items.column_names) | {"item_id": "bare", "safety": "ok"}
    builder = parts.builder.with_items(pa.Table.from_pylist([bare], schema=world.items.schema))
    found = builder.for_request(a_request(), ["bare"])
    assert found.categorical[0, :2].tolist() == [0, 0]
    names = [name for name in found.spec.numeric if name.startswith(("creator_", "category_"))]
    assert not any(column(found, name)[0] for name in (*names, *ITEM_NUMBERS))


def test_an_item_published_later_is_known_by_its_creator_when_it_is_added(world, parts):
    first = world.items.slice(0, 1).to_pylist()[0]
    builder = parts.builder.with_items(
        pa.Table.from_pylist([first | {"item_id": "fresh"}, first], schema=world.items.schema)
    )
    fresh, old = (builder.for_request(a_request(), [item]) for item in ("fresh", first["item_id"]))
    assert fresh.items[0] == 1
    assert fresh.categorical.tolist() == old.categorical.tolist()
    is_item = np.array([name.startswith("item_") for name in fresh.spec.numeric])
    assert np.array_equal(fresh.numeric[:, ~is_item], old.numeric[:, ~is_item])
    assert column(fresh, "item_log_exposures_all")[0] < column(old, "item_log_exposures_all")[0]
    assert np.array_equal(old.numeric, parts.builder.for_request(a_request(), [first["item_id"]]).numeric)


def test_rates_are_worked_out_by_hand_when_an_item_was_shown(world, parts):
    state = parts.builder.state
    until = pa.scalar(datetime(2024, 1, 8, tzinfo=UTC))
    past = world.interactions.filter(pc.less(world.interactions[TIMESTAMP], until))
    own = past.filter(pc.equal(past[ITEM_ID], "v000003"))
    prior = pc.mean(past["clicked"].cast(pa.float64())).as_py()
    expected = (pc.sum(own["clicked"]).as_py() + 20 * prior) / (own.num_rows + 20)
    place = state.spec.numeric.index("item_clicked_rate_all")
    found = column(parts.builder.for_request(a_request(), ["v000003"]), "item_clicked_rate_all")
    assert found[0] == pytest.approx((expected - state.means[place]) / state.scales[place], rel=1e-5)


def test_histories_are_read_by_time_when_they_are_not_in_order(parts):
    day = 86_400 * 1_000_000
    request = a_request(
        history=["v000005", "nobody", "v000001", "v000002", "v000009"],
        timestamps=[MOMENT - day // 2, MOMENT - 1, MOMENT - 3 * day, MOMENT, MOMENT + day],
    )
    found = parts.builder.for_request(request, ["v000001", "v000004"])
    state = parts.builder.state
    assert found.histories.row(1).tolist() == state.vocabulary.encode(["v000001", "v000005"]).tolist()
    expected = {
        "log_history_events": np.log(3),
        "log_history_events_1d": np.log(2),
        "log_seconds_since_event": np.log1p(43_200),
        "log_history_item": np.log(2),
    }
    for name, value in expected.items():
        place = state.spec.numeric.index(name)
        scaled = (value - state.means[place]) / state.scales[place]
        assert column(found, name)[0] == pytest.approx(np.clip(scaled, -8, 8), rel=1e-5), name


def test_time_features_are_missing_when_a_history_has_no_times(parts):
    found = parts.builder.for_request(a_request(history=[f"v{n:06}" for n in range(40)]), ["v000001"])
    assert len(found.histories.row(0)) == parts.builder.config.max_history
    assert column(found, "log_seconds_since_event")[0] == column(found, "log_history_events_1d")[0] == 0.0
    assert column(found, "log_history_events")[0] != 0.0


def test_a_request_is_answered_when_nothing_is_known_of_it(parts):
    found = parts.builder.for_request(a_request(history=[]), [])
    assert len(found) == 0
    found = parts.builder.for_request(a_request(history=[], query="x" * 10_000), ["v000001"])
    assert np.isfinite(found.numeric).all()
    assert found.queries.any()
    with pytest.raises(ValueError, match="1 items and 2 timestamps"):
        parts.builder.for_request(a_request(timestamps=[1, 2]), ["v000001"])


def test_a_state_is_refused_when_a_file_is_missing_or_does_not_fit(parts, tmp_path):
    state = parts.builder.state
    replace(state, means=state.means[1:]).save(tmp_path / "short")
    replace(state, means=state.means * np.nan).save(tmp_path / "nan")
    replace(state, values=dict(state.values) | {"creator": ("a",)}).save(tmp_path / "values")
    replace(state, catalogue=state.catalogue.slice(1)).save(tmp_path / "items")
    for name in ("short", "nan", "values", "items", "absent"):
        with pytest.raises(BundleError, match=f"features in {name} cannot be read"):
            FeatureState.load(tmp_path / name)
