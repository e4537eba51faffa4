"""A champion is gone on with when data has grown: found by its digest, told in its run, judged for what it forgot."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.erased_models import standing
from flows.forget import forget, whom
from flows.ingest import ingest
from flows.references import Candidate, Snapshot
from flows.release import release
from flows.train import train
from flows.validate import validate
from flows.wiring import Platform, connect
from infra.rollouts import ModelReference, Plan
from infra.settings import Settings
from recmodels.adaptation.adapter import Adapter
from recmodels.data.schema import TIMESTAMP
from recmodels.data.sources import SOURCES
from recmodels.errors import StoreError
from recmodels.lineage import OLDER_USERS, WEIGHTS
from recmodels.manifest import verify
from recmodels.presets import popularity
from recmodels.recipe import override
from tests.flows.homes import SASREC

WARM = override(SASREC, ["warm_start.enabled=true", "warm_start.epochs=2", "trainer.epochs=3"])
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = SOURCES.module("synthetic").read(users=60, items=60, creators=10, days=28)
    folder = tmp_path_factory.mktemp("world")
    pq.write_table(tables.interactions, folder / "interactions.parquet")
    pq.write_table(tables.items, folder / "items.parquet")
    return folder


def _snapshot(files: Path, *, end: str | None = None) -> Snapshot:
    options = {"items": str(files / "items.parquet"), "name": "world"} | ({"end": end} if end else {})
    return validate(ingest("table", files / "interactions.parquet", options))


def _crown(home: Platform, candidate: Candidate) -> None:
    version = home.registry.register(
        candidate.digest, run_id=candidate.run_id, source=f"runs:/{candidate.run_id}/bundle", tags={}
    )
    home.rollouts.set_bootstrap_champion(ModelReference(candidate.digest, version), now=NOW, by="test", reason="test")


def _promote(home: Platform, candidate: Candidate) -> None:
    version = home.registry.version_of(candidate.digest)
    assert version is not None
    rollout = home.rollouts.start(Plan("r", ModelReference(candidate.digest, version), (0.5,)), now=NOW, by="test")
    home.rollouts.promote("r", fencing=rollout.fencing, now=NOW, by="test", reason="test")


def _day(files: Path, number: int) -> str:
    """Return the moment so many days after the first event."""
    first = pc.min(pq.read_table(files / "interactions.parquet", columns=[TIMESTAMP])[TIMESTAMP]).as_py()
    return str((first + timedelta(days=number)).isoformat())


@pytest.mark.slow
def test_the_bundle_of_a_recipe_is_adapted_when_it_names_one(home: Settings, files: Path) -> None:
    snapshot = _snapshot(files)
    (before,) = train(snapshot, [override(SASREC, ["trainer.epochs=1"])])
    wanted = ["method=low_rank", f"parent={before.digest}", 'surfaces=["search"]', "epochs=1"]
    (after,) = train(snapshot, [override(SASREC, [f"adaptation.{one}" for one in wanted])])
    assert after.origin == f"adapts {before.digest[:12]}"
    lineage = verify(home.bundles, after.digest).warm_start
    assert lineage is not None
    assert lineage.parent == before.digest
    (adapter,) = home.runs.glob("*/adapter.safetensors")
    assert Adapter.load(adapter).config.parent == before.digest


def test_training_goes_on_from_the_champion_when_data_has_grown(home: Settings, files: Path) -> None:
    stores = connect(home)
    first_days = _snapshot(files, end=_day(files, 20))
    (before,) = train(first_days, [WARM])
    assert before.origin == "from scratch: there is no champion yet"
    assert WEIGHTS in verify(home.bundles, before.digest).files
    _crown(stores, before)

    grown = _snapshot(files)
    candidates = train(grown, [popularity(), WARM])
    floor, after = candidates
    assert floor.origin == ""  # its recipe asks for no warm start
    assert after.origin == f"from the champion {before.digest[:12]}"
    report = verify(home.bundles, after.digest).warm_start
    assert report is not None
    assert (report.parent, report.since) == (before.digest, verify(home.bundles, before.digest).trained_until)
    run = stores.tracker.client.get_run(after.run_id)
    assert run.data.params["parent.digest"] == before.digest
    assert run.data.params["parent.version"] == "1"
    assert run.data.params["parent.items_carried"] == str(report.items_carried)
    assert run.data.params["warm_start.epochs"] == "2"
    assert run.data.tags["origin"] == after.origin

    released = release(grown, candidates, nominee=after, is_forced=True)
    card = stores.tracker.client.download_artifacts(after.run_id, "model_card.md")
    text = Path(card).read_text()
    assert f"| parent | `{before.digest[:12]}` |" in text
    assert "| forgetting, older users against the champion |" in text
    assert "| forgetting | passed | forgetting: users of before the warm start:" in text
    assert OLDER_USERS in text
    assert released.challenger is not None

    _promote(stores, after)
    (promoted,) = train(grown, [WARM])
    assert (promoted.was_done, promoted.digest) == (True, after.digest)  # it does not go on from itself
    stores.database.close()


@pytest.mark.slow
def test_what_a_model_learned_of_an_erased_person_does_not_live_on(home: Settings, files: Path) -> None:
    stores = connect(home)
    first_days = _snapshot(files, end=_day(files, 20))
    (before,) = train(first_days, [WARM])
    _crown(stores, before)
    user = stores.lake.read("interactions", columns=["user_id"])["user_id"][0].as_py()

    receipt = forget(whom(stores, user_id=user), "ann")

    assert [(model.digest, model.version, model.stage) for model in receipt.models] == [(before.digest, 1, "champion")]
    assert receipt.until is not None
    with pytest.raises(StoreError, match="a user was erased"):
        train(first_days, [override(WARM, ["seed=2"])])
    (after,) = train(_snapshot(files), [WARM])
    assert after.origin == (f"from scratch: bundle {before.digest[:12]} has learned from a person who was erased since")
    again = forget(whom(stores, user_id=user), "ann")
    assert [model.digest for model in again.models] == [before.digest]
    _promote_over(stores, after)
    assert [model.stage for model in standing(stores, again)] == ["archived"]
    stores.database.close()


def _promote_over(home: Platform, candidate: Candidate) -> None:
    source = f"runs:/{candidate.run_id}/bundle"
    home.registry.register(candidate.digest, run_id=candidate.run_id, source=source, tags={})
    _promote(home, candidate)
