from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra.console.links import Links
from infra.console.prefect_views import FlowPast, FlowRun
from infra.console.stages import Stage, guarded, rolled_out, running, with_run
from infra.rollouts import ModelReference, Rollout, RolloutState
from infra.settings import Settings
from recmodels.errors import StoreError
from tests.infra.gateway_home import NOW

INGEST = Stage("Ingest", "done", "interactions, version 3")


@pytest.fixture
def links(tmp_path: Path) -> Links:
    return Links(Settings(home=tmp_path))


def run(minutes_ago: int, *, took: int | None = None, has_failed: bool = False) -> FlowRun:
    began = NOW - timedelta(minutes=minutes_ago)
    ended = None if took is None else began + timedelta(minutes=took)
    return FlowRun(
        f"run-{minutes_ago}", "a", began, ended, took is None, has_failed, "it says why" if has_failed else ""
    )


def past(newest: FlowRun | None, *, minutes: float | None = None) -> FlowPast:
    return FlowPast(newest, None if minutes is None else minutes * 60, 0 if minutes is None else 3)


def rollout(name: str, *, hours: float, is_active: bool = False) -> Rollout:
    """A rollout that began 24 hours ago and changed last after some hours."""
    began = NOW - timedelta(hours=24)
    return Rollout(
        rollout_id=name,
        state=RolloutState.RUNNING if is_active else RolloutState.PROMOTED,
        challenger=ModelReference("b" * 64, 2),
        champion=ModelReference("a" * 64, 1),
        steps=(0.1, 0.5),
        step=0,
        share=0.1,
        salt="s",
        fencing=1,
        config={},
        cause="",
        is_forced=False,
        created_at=began,
        updated_at=began + timedelta(hours=hours),
        step_started_at=began,
        deadline_at=None,
    )


def test_the_run_that_began_last_speaks_for_a_stage_of_two_flows(links: Links) -> None:
    pasts = {"ingest": past(run(60, took=1, has_failed=True)), "collect": past(run(10, took=4))}

    stage = with_run(INGEST, pasts, links=links, now=NOW)

    assert (stage.state, stage.seconds, stage.problem) == ("done", 240.0, "")
    assert stage.run_link.endswith("/runs/flow-run/run-10")


def test_a_failure_is_told_with_its_words(links: Links) -> None:
    stage = with_run(INGEST, {"ingest": past(run(60, took=1, has_failed=True))}, links=links, now=NOW)

    assert (stage.state, stage.problem) == ("failed", "it says why")
    assert stage.at == NOW - timedelta(minutes=59)


@pytest.mark.parametrize(
    ("minutes", "left"), [(10.0, timedelta(minutes=4)), (None, None), (5.0, timedelta(minutes=-1))]
)
def test_what_runs_ends_when_past_runs_would_have(links: Links, minutes: float | None, left: timedelta | None) -> None:
    stage = with_run(INGEST, {"ingest": past(run(6), minutes=minutes)}, links=links, now=NOW)

    assert (stage.state, stage.seconds) == ("active", 360.0)
    assert stage.ends_at == (None if left is None else NOW + left)


def test_a_stage_stands_as_the_stores_say_where_nothing_ran(links: Links) -> None:
    nothing: Mapping[str, FlowPast] = {"ingest": past(None), "train": past(run(1))}
    assert with_run(INGEST, nothing, links=links, now=NOW) == INGEST


def test_whole_lifecycles_that_run_are_listed(links: Links) -> None:
    pasts = {"daily": past(run(5), minutes=30), "train": past(run(2)), "retrain": past(run(60, took=9))}

    (found,) = running(pasts, links=links)

    assert (found.flow, found.ends_at, found.num_past) == ("daily", NOW + timedelta(minutes=25), 3)


def test_a_canary_ends_when_the_median_of_those_before_it_would_have() -> None:
    active = rollout("new", hours=1, is_active=True)
    known = [active, *(rollout(f"r{hours}", hours=hours) for hours in (30, 48, 300))]

    stage = rolled_out(known, now=NOW)

    assert (stage.state, stage.seconds, stage.num_past) == ("active", 24 * 3600.0, 3)
    assert stage.ends_at == NOW + timedelta(hours=24)  # began 24 hours ago, and takes 48
    assert rolled_out([active], now=NOW).ends_at is None
    assert rolled_out([replace(known[1])], now=NOW).seconds == 30 * 3600.0
    assert rolled_out([], now=NOW).state == "empty"


def test_an_unreadable_store_is_a_stage_that_needs_somebody() -> None:
    def look() -> Stage:
        raise StoreError("the lake is damaged")

    assert guarded("Ingest", look) == Stage("Ingest", "failed", "the lake is damaged")


def test_links_name_the_object(links: Links) -> None:
    settings = links.settings
    assert links.run("7", "abc") == f"{settings.mlflow_ui_url}/#/experiments/7/runs/abc"
    assert links.version(3) == f"{settings.mlflow_ui_url}/#/models/everfeed/versions/3"
    assert links.data_docs("items", "rows") == ""
    folder = settings.reports / "data_docs"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("")
    (folder / "items-rows.html").write_text("")
    assert links.data_docs("items", "rows") == "/reports/data_docs/items-rows.html"
    assert links.data_docs("../items", "rows") == links.data_docs("users", "rows") == "/reports/data_docs/index.html"
    assert "Data Docs" in dict(links.elsewhere())
    assert "Drift report" not in dict(links.elsewhere())
