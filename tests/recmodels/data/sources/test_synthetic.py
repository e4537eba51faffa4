from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.interactions import fingerprint
from recmodels.data.schema import Tables
from recmodels.data.sources.synthetic import Options, read, world
from recmodels.errors import SourceError

OPTIONS = {"users": 300, "items": 200, "creators": 40, "days": 14, "sessions_a_day": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read(None, **OPTIONS)


def column(tables: Tables, name: str) -> np.ndarray:
    return tables.interactions[name].to_numpy(zero_copy_only=False)


def test_every_row_says_that_it_is_synthetic(tables: Tables) -> None:
    assert pc.unique(tables.interactions["origin"]).to_pylist() == ["synthetic"]
    assert "not real" in tables.terms


def test_the_same_options_give_the_same_rows_and_another_seed_others(tables: Tables) -> None:
    again, other = read(None, **OPTIONS), read(None, **(OPTIONS | {"seed": 4}))
    assert fingerprint(again.interactions) == fingerprint(tables.interactions)
    assert again.items.equals(tables.items)
    assert again.users.equals(tables.users)
    assert fingerprint(other.interactions) != fingerprint(tables.interactions)


def test_there_are_about_as_many_rows_as_asked_for(tables: Tables) -> None:
    """300 users, a tenth of whose days fall to newcomers' absence, a session a day, 8 items a session."""
    assert tables.interactions.num_rows == pytest.approx(300 * 0.9 * 14 * 8, rel=0.15)


def test_events_lie_within_the_days(tables: Tables) -> None:
    first, last = (pc.min_max(tables.interactions["timestamp"]).as_py()[key] for key in ("min", "max"))
    assert datetime(2024, 1, 1, tzinfo=UTC) <= first < datetime(2024, 1, 2, tzinfo=UTC)
    assert datetime(2024, 1, 14, tzinfo=UTC) <= last < datetime(2024, 1, 15, tzinfo=UTC)


def test_the_first_day_may_be_chosen() -> None:
    moved = read(None, **(OPTIONS | {"start": date(2025, 6, 2), "users": 50}))
    assert pc.min(moved.interactions["timestamp"]).as_py() - datetime(2025, 6, 2, tzinfo=UTC) < timedelta(days=1)


def test_only_searches_have_a_query_and_show_what_was_searched(tables: Tables) -> None:
    surface = column(tables, "surface")
    assert set(surface) == {"video", "live", "search"}
    has_query = pc.is_valid(tables.interactions["query"]).to_numpy()
    assert np.array_equal(has_query, surface == "search")
    category = dict(zip(tables.items["item_id"].to_pylist(), tables.items["category"].to_pylist(), strict=True))
    found = [category[item] for item in column(tables, "item_id")[has_query]]
    assert found == column(tables, "query")[has_query].tolist()


def test_livestreams_are_shown_on_their_surface(tables: Tables) -> None:
    kind = dict(zip(tables.items["item_id"].to_pylist(), tables.items["surface"].to_pylist(), strict=True))
    for name in ("video", "live"):
        assert {kind[item] for item in column(tables, "item_id")[column(tables, "surface") == name]} == {name}


def test_nobody_appears_before_signing_up_and_no_item_before_publication(tables: Tables) -> None:
    rows = tables.interactions.join(tables.users, "user_id").join(
        tables.items.select(["item_id", "published_at"]), "item_id"
    )
    assert pc.all(pc.greater_equal(rows["timestamp"], rows["signed_up_at"])).as_py()
    assert pc.all(pc.greater_equal(rows["timestamp"], rows["published_at"])).as_py()


def test_nothing_is_watched_longer_than_it_lasts(tables: Tables) -> None:
    watched, lasts = column(tables, "watch_seconds"), column(tables, "duration_seconds")
    assert (watched >= 0).all()
    assert (watched <= lasts).all()


def test_clicks_come_as_often_as_the_truth_says(tables: Tables) -> None:
    """The sum of independent draws lies within 4 standard deviations of its mean, on each half of the tastes."""
    truth = world(Options.model_validate(OPTIONS))
    rows = tables.interactions
    users = pc.utf8_slice_codeunits(rows["user_id"], 1).cast(pa.int64()).to_numpy()
    items = pc.utf8_slice_codeunits(rows["item_id"], 1).cast(pa.int64()).to_numpy()
    seconds = (rows["timestamp"].cast(pa.int64()).to_numpy() - datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6) / 1e6
    best = truth.click_probability(users, items, day=seconds / 86_400)
    clicked = column(tables, "clicked").astype(bool)
    assert clicked.sum() < best.sum()
    order = np.argsort(best)
    low, high = clicked[order[: len(order) // 2]].mean(), clicked[order[len(order) // 2 :]].mean()
    assert high > 1.5 * low


def test_earlier_positions_are_clicked_more_for_equal_tastes() -> None:
    flat = read(None, users=400, items=60, creators=10, days=7, sessions_a_day=2.0, slate=4, seed=1)
    truth = world(Options(users=400, items=60, creators=10, days=7, sessions_a_day=2.0, slate=4, seed=1))
    assert truth.position_bias.tolist() == pytest.approx([1.0, 2**-0.4, 3**-0.4, 4**-0.4])
    rates = column(flat, "clicked").astype(float)
    assert 0.1 < rates.mean() < 0.6


def test_feedback_of_every_kind_occurs_and_follows_clicks(tables: Tables) -> None:
    clicked = column(tables, "clicked").astype(bool)
    for name in ("liked", "shared", "followed", "commented", "long_viewed"):
        given = column(tables, name).astype(bool)
        assert given.any()
        assert not (given & ~clicked).any()
    assert column(tables, "hidden").any()
    assert not (column(tables, "hidden").astype(bool) & clicked).any()


def test_a_session_shows_an_item_once(tables: Tables) -> None:
    assert pc.count_distinct(tables.interactions["event_id"]).as_py() == tables.interactions.num_rows


def test_small_worlds_show_fewer_items_than_a_slate_holds() -> None:
    tiny = read(None, users=20, items=3, creators=1, days=7, sessions_a_day=3.0, newcomers=0.0)
    assert tiny.interactions.num_rows > 0
    assert tiny.items.num_rows == 3


def test_options_may_come_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text("users = 30\nitems = 40\ndays = 3\n")
    made = read(file, items=20)
    assert (made.users.num_rows, made.items.num_rows) == (30, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 0}, r"option 'users'.*got 0"),
        ({"people": 5}, r"option 'people': is unknown.*takes: users, items, creators"),
        ({"newcomers": 1.5}, r"option 'newcomers'"),
    ],
)
def test_options_are_refused_when_they_are_unknown_or_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(None, **options)
