from pathlib import Path

from infra.serving.fallback import PopularItems
from recmodels.bundle import load_bundle
from tests.infra.gateway_home import next_item_scorer, write


def popular(tmp_path: Path) -> PopularItems:
    return PopularItems.of(load_bundle(tmp_path, write(tmp_path, next_item_scorer(), name="champion")))


def test_orders_by_training_interactions_without_blocked_items(tmp_path: Path) -> None:
    assert popular(tmp_path).item_ids[:3] == ("film-00", "film-02", "film-03")


def test_keeps_to_the_surface_when_items_have_it(tmp_path: Path) -> None:
    assert popular(tmp_path).top(5, surface="live") == ("film-03",)
    assert popular(tmp_path).top(2, surface="video", without=({"film-00"}, {"film-04"})) == ("film-02", "film-05")


def test_leaves_out_nothing_when_no_item_has_the_surface(tmp_path: Path) -> None:
    assert popular(tmp_path).top(3, surface="home page") == ("film-00", "film-02", "film-03")


def test_is_empty_without_a_bundle() -> None:
    assert PopularItems().top(10, surface="video") == ()
