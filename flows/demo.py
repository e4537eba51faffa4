"""`everfeed demo`: the lifecycle on the real ML-100K, then a bad model, then a shift and its alert."""

import shutil
from collections.abc import Callable
from typing import Any

from prefect import flow
from rich.console import Console

from flows import progress, summary
from flows.channels import ChannelChoice, log_channel, secret_webhook_channel, webhook_channel
from flows.datasets import fetch_ml_100k
from flows.lifecycle import Data, LifecycleOutcome, lifecycle, roll_out
from flows.monitor import monitor
from flows.references import Candidate, Traffic, Trained
from flows.release import release
from flows.replay import REPLAY_CANARY, ReplayConfig
from flows.runs import demo_marker, seconds
from flows.services import background_services, late_services, stack_up
from flows.shift import shift_traffic
from flows.tracked import BUNDLE_FOLDER
from flows.train import measure
from flows.webhook import receiving
from flows.wiring import Platform, connect, platform
from infra.processes import hold_lock
from infra.settings import Settings
from recmodels.bundle import swap_ids
from recmodels.data.sources.movielens import TERMS
from recmodels.errors import StoreError
from recmodels.presets import presets

_KEPT = {"downloads", "secrets", "stack.lock", "stack.json", "logs"}
_BAD_SEED = 7


def run_demo(
    settings: Settings,
    *,
    screen: Console,
    webhook: str = "",
    sample: float = 1.0,
    visitors: int = 20_000,
    on_done: Callable[[Callable[[], None]], None] | None = None,
) -> dict[str, Any]:
    """Run the demo and return its summary; `on_done` is called while the stack is still up.

    Args:
        settings: The home; it must be empty, or hold an earlier demo, which is removed.
        screen: Where a person reads along.
        webhook: Also send the alert there.
        sample: Share of the users to use.
        visitors: Most resampled visitors that a canary meets.
        on_done: Called with everything up, and with what restarts services that end; the stack is stopped when it
            returns.

    Raises:
        AlreadyRunningError: A stack is up over this home.
        StoreError: The home holds data of one's own.
        SourceError: The data set cannot be fetched.
    """
    _clear(settings, screen)
    home = connect(settings)
    screen.print(f"[dim]{TERMS}[/]", highlight=False)
    with progress.shown_on(screen) as terminal:
        with progress.stage("fetch ML-100K"):
            data = Data(source="movielens", path=fetch_ml_100k(settings), sample=sample)
        with (
            receiving(settings.reports / "webhook.jsonl") as receiver,
            stack_up(settings) as stack,
        ):
            channels = log_channel(settings) | webhook_channel(receiver.url)
            channels |= secret_webhook_channel(settings, webhook, name="your webhook") if webhook else {}
            document = _acts(home, data, channels, ReplayConfig(visitors=visitors))
            document["alert"] |= {"received": receiver.received, "endpoint": receiver.url}
            document["seconds"] = seconds(terminal)
            summary.print_summary(screen, document, stays_up=on_done is not None)
            if on_done:
                for service in (*background_services(), *late_services(settings)):
                    stack.add(service)
                on_done(stack.watch)
    return document


def _acts(home: Platform, data: Data, channels: dict[str, ChannelChoice], replay: ReplayConfig) -> dict[str, Any]:
    outcome = lifecycle(data, presets(), Traffic.REPLAY, REPLAY_CANARY, replay, cause="demo")
    document = summary.summarise(home, outcome)
    document["demonstration"] = (
        "The canary judged resampled held-out users at a single step of 50 %, and its alert went to an endpoint of the "
        "demo's own."
    )
    with progress.stage("bad model"):
        document["bad_model"] = show_bad_model(outcome, replay)
    with progress.stage("shift and monitor"):
        found = monitor(extra=shift_traffic(home, outcome.snapshot), channels=channels)
    document["drift"] = summary.drift(found)
    document["alert"] = {"delivered": bool(found.delivered), "channel": ", ".join(found.delivered)}
    return document


@flow(name="bad model", description="A model with swapped ids: refused, stopped unseen and, forced, rolled back.")
def show_bad_model(outcome: LifecycleOutcome, replay: ReplayConfig) -> dict[str, Any]:
    """Show that a model with swapped ids is refused; forced through, stopped unseen; forced past that, rolled back."""
    snapshot, candidates = outcome.snapshot, list(outcome.candidates)
    bad = measure(_swapped(platform(), candidates), snapshot)
    refused = release(snapshot, candidates, nominee=bad)
    forced = release(snapshot, candidates, nominee=bad, is_forced=True)
    few = replay.model_copy(update={"shadow_visitors": replay.visitors_a_look})
    unseen = roll_out(snapshot, forced, Traffic.REPLAY, REPLAY_CANARY, few, cause="demo: forced")
    at_once = REPLAY_CANARY.model_copy(update={"shadow": None})
    rolled = roll_out(snapshot, forced, Traffic.REPLAY, at_once, replay, cause="demo: forced past the shadow stage")
    assert unseen is not None, "a replay sees a rollout to its end"
    assert rolled is not None, "a replay sees a rollout to its end"
    return {
        "refused": bool(refused.refused_by),
        "refused_by": list(refused.refused_by),
        "forced": forced.is_forced,
        "stopped_unseen": unseen.state == "rolled_back",
        "shadow_rule": unseen.rule,
        "shadow_words": unseen.words,
        "rolled_back": rolled.state == "rolled_back",
        "rule": rolled.rule,
        "words": rolled.words,
        "users_canary": rolled.users_canary,
        "users_control": rolled.users_control,
    }


def _swapped(home: Platform, candidates: list[Candidate]) -> Trained:
    """Deal out the item ids of the best model anew."""
    best = max(candidates, key=lambda candidate: candidate.validation["ndcg_at_10"])
    recipe = best.recipe.model_copy(update={"name": "swapped_ids"})
    trained = best.model_dump(include=set(Trained.model_fields))
    digest = swap_ids(home.settings.bundles, best.digest, seed=_BAD_SEED)
    key = f"{best.key}-swapped"
    tags = {"recipe": recipe.name, "why": "a deliberately bad model: the item ids of the best one, dealt out anew"}
    run_id = home.tracker.model_run(key, parent=best.parent_id, name=recipe.name, tags=tags)
    home.tracker.log_folder(run_id, home.settings.bundles / digest, folder=BUNDLE_FOLDER)
    return Trained(**{**trained, "recipe": recipe, "digest": digest, "key": key, "run_id": run_id})


def _clear(settings: Settings, screen: Console) -> None:
    """Empty a home that holds an earlier demo; leave any other data, and a demo that is still up, alone."""
    settings.root.mkdir(parents=True, exist_ok=True)
    hold_lock(settings).close()
    marker = demo_marker(settings)
    if (settings.root / "data_set.json").exists() and not marker.exists():
        raise StoreError(
            f"the home {settings.root} holds data of your own, which the demo would mix with its own. Choose another "
            "home for the demo: EVERFEED_HOME=.everfeed-demo everfeed demo."
        )
    if marker.exists():
        screen.print(f"[dim]The state of the last demo in {settings.root} is removed.[/]", highlight=False)
        for path in settings.root.iterdir():
            if path.name not in _KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    marker.touch()
