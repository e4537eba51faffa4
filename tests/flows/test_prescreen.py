"""`everfeed canary prescreen`: champion and challenger of a home, read from its lake, without touching a rollout."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from flows.prescreen import CAUTION, prescreen
from flows.references import DataSet
from flows.train import read_split
from flows.validate import snapshot_of
from flows.wiring import Platform, connect
from infra.rollouts import ModelReference, Plan
from infra.settings import Settings
from recmodels.bundle import swap_ids, write_bundle
from recmodels.data.sources import synthetic
from recmodels.data.splits import Split
from recmodels.presets import item_knn, popularity
from recmodels.recipe import Recipe
from recmodels.training.trainer import train
from tests.flows.commands import Terminal, choose_free_ports
from tests.flows.homes import api


def lived_in(settings: Settings) -> Platform:
    """A home with data and two bundles: popularity serves, and item neighbours are in a rollout."""
    platform = connect(settings)
    tables = synthetic.read(Path(), users=250, items=120, creators=20, days=28)
    platform.lake.append("interactions", tables.interactions)
    platform.lake.replace("items", tables.items)
    held = DataSet(name="synthetic", is_order_only=False)
    (settings.root / "data_set.json").write_text(held.model_dump_json())
    snapshot = snapshot_of(platform, name="synthetic", is_order_only=False)
    split = read_split(platform, snapshot, popularity())
    first, second = (_bundle(settings, split, recipe) for recipe in (popularity(), item_knn()))
    now = datetime.now(UTC)
    platform.rollouts.set_bootstrap_champion(ModelReference(first, 1), now=now, by="test", reason="first")
    plan = Plan("knn-1", ModelReference(second, 2), steps=(0.5,), cause="test", is_shadow=True)
    platform.rollouts.start(plan, now=now, by="test")
    return platform


def _bundle(settings: Settings, split: Split, recipe: Recipe) -> str:
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    return write_bundle(
        settings.bundles,
        scorer=trained.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot="synthetic",
        trained_until=split.train_until,
        metrics=trained.metrics,
    )


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal(capsys, monkeypatch)


def test_champion_and_challenger_are_drafted_when_no_digest_is_named(settings, everfeed):
    platform = lived_in(settings)
    before = platform.rollouts.serving()
    ended = everfeed("canary", "prescreen", "--json")
    assert ended.code == 0
    found = ended.document
    active = platform.rollouts.active()
    assert active is not None
    assert found["challenger"] == active.challenger.digest
    assert found["wins"] + found["losses"] + found["ties"] > 100
    assert found["caution"] == CAUTION
    assert platform.rollouts.serving() == before


def test_a_spoilt_bundle_loses_when_it_is_named(settings, everfeed):
    platform = lived_in(settings)
    active = platform.rollouts.active()
    assert active is not None
    good = active.challenger.digest
    spoilt = swap_ids(settings.bundles, good, seed=1)
    ended = everfeed("canary", "prescreen", "--champion", good, "--challenger", spoilt)
    assert ended.code == 0
    words = " ".join(ended.err.split())
    assert "worse: the challenger won" in words
    assert "These are recorded choices" in words


def test_a_home_without_a_rollout_says_what_to_name(settings, everfeed):
    platform = lived_in(settings)
    platform.rollouts.roll_back("knn-1", fencing=None, now=datetime.now(UTC), by="test", reason="over")
    ended = everfeed("canary", "prescreen")
    assert ended.code == 2
    assert "Name a bundle's digest with --challenger" in " ".join(ended.err.split())


def test_a_home_without_data_says_so(everfeed):
    ended = everfeed("canary", "prescreen")
    assert ended.code == 2
    assert "holds no data yet" in " ".join(ended.err.split())


def test_the_flow_leaves_a_page_that_says_what_it_is(home):
    platform = lived_in(home)
    snapshot = snapshot_of(platform, name="synthetic", is_order_only=False)
    found = prescreen(snapshot)
    assert found.verdict in ("better", "worse", "undecided")
    assert np.isfinite([found.e_better, found.e_worse]).all()
    pages = api(home, "artifacts/filter", {"artifacts": {"key": {"any_": ["prescreen"]}}})
    assert found.words in pages[0]["data"]
    assert CAUTION in pages[0]["data"]
