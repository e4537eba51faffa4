"""Resampled visitors against the gateway, and a look of the judge after every few hundred of them."""

from collections.abc import Iterator
from functools import lru_cache
from time import monotonic, sleep

import numpy as np
from prefect import flow, task
from pydantic import BaseModel, ConfigDict, Field

from flows import progress
from flows.canary import judge_rollout
from flows.references import Rolled, Snapshot
from flows.retries import is_worth_retrying
from flows.train import read_split
from flows.wiring import platform
from infra.replay import PastEvent, ReplayReport, Visit, replay, serves
from infra.rollout_records import RolloutState
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.shadow import ShadowConfig
from recmodels.data.visitors import Visitors, resample
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.errors import StoreError
from recmodels.recipe import Recipe

_SHADOW_GROUP_SECONDS = 0.7
"""A little longer than the gateway gathers comparisons before it writes them."""
_UNDECIDED = (RolloutState.RUNNING, RolloutState.HELD, RolloutState.SHADOW)


class ReplayConfig(BaseModel):
    """How recorded data becomes traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    visitors: int = Field(20_000, ge=100)
    """Most visits, drawn with replacement from the held-out users."""
    visitors_a_look: int = Field(500, ge=10)
    """Visits between two looks of the judge."""
    shadow_visitors: int = Field(1000, ge=10)
    """Most visits in the shadow stage: all visitors are of one recording, so that more of them would tell no more."""
    history_length: int = Field(1000, ge=0, le=1000)
    """Newest events of a visitor's own history that go with the request."""
    k: int = Field(10, ge=1, le=200)
    """Items asked for."""
    seed: int = Field(0, ge=0)


REPLAY_CANARY = CanaryConfig(
    shadow=ShadowConfig(minimum_requests=300, minimum_seconds=0.0),
    steps=(0.5,),
    minimum_step_seconds=0.0,
    label_window_seconds=0.0,
    on_inconclusive="rollback",
    tuned_users=10_000,
    use_covariate=False,
)
"""A replay judges at a single step of 50 %: its visitors risk nothing, click at once, end with the recording, and have
no past of their own. The first of them meet the champion alone, while the challenger answers unseen."""


@flow(name="replay", description="Send resampled visitors until the canary is decided.", persist_result=False)
def replay_until_decided(snapshot: Snapshot, recipe: Recipe, rollout_id: str, config: ReplayConfig) -> Rolled:
    """Send visitors batch by batch, judge after each, and stop at the verdict.

    When the visitors run out first, that is the deadline: the rollout ends as its terms say of the inconclusive.
    """
    rolled = see_in_shadow(snapshot, recipe, rollout_id, config)
    if rolled is not None and rolled.state not in _UNDECIDED:
        return rolled
    await_gateway(rollout_id)
    total, sent = config.visitors, 0
    while sent < total:
        visit(snapshot, recipe, config, sent, rollout_id)
        sent += config.visitors_a_look
        rolled = judge_rollout(rollout_id, is_last=sent >= total)
        progress.report("canary: visitors", min(sent, total), total)
        if rolled.state not in _UNDECIDED:
            break
    progress.report("canary: visitors", total, total)
    assert rolled is not None, "there is at least one visitor"
    return rolled


def see_in_shadow(snapshot: Snapshot, recipe: Recipe, rollout_id: str, config: ReplayConfig) -> Rolled | None:
    """Send visitors whom the champion answers alone, until the judge lets the challenger meet some or ends it.

    They are units of their own, beside those of the steps. A rollout without a shadow stage gives None.
    """
    rolled, sent = None, 0
    while is_in_shadow(rollout_id) and sent < config.shadow_visitors:
        if not sent:
            await_gateway(rollout_id)
        visit(snapshot, recipe, config, sent, f"{rollout_id}-shadow")
        await_comparisons(rollout_id)
        sent += config.visitors_a_look
        rolled = judge_rollout(rollout_id, is_last=sent >= config.shadow_visitors)
        progress.report("shadow: visitors", min(sent, config.shadow_visitors), config.shadow_visitors)
    if sent:
        progress.report("shadow: visitors", config.shadow_visitors, config.shadow_visitors)
    return rolled


def is_in_shadow(rollout_id: str) -> bool:
    """Say whether a rollout is in its shadow stage, held there or not."""
    rollout = platform().rollouts.rollout(rollout_id)
    return rollout.is_active and rollout.step < 0


@task(name="await comparisons")
def await_comparisons(rollout_id: str) -> int:
    """Wait until the challenger has answered what waits for it, and return how many requests were compared.

    It answers beside the champion, half of the time at most, and what it answered is written in groups.
    """
    shadows, compared = platform().shadows, -1
    while (found := shadows.figures(rollout_id).requests) > compared:
        compared = found
        sleep(_SHADOW_GROUP_SECONDS)
    return compared


@task(name="await gateway")
def await_gateway(rollout_id: str, timeout_seconds: float = 30.0) -> None:
    """Wait until the gateway serves the rollout's step, so that no visitor meets it half-way.

    Raises:
        StoreError: The gateway does not answer, or does not load the challenger in time.
    """
    home, deadline = platform(), monotonic() + timeout_seconds
    url, step = home.settings.gateway_url, home.rollouts.rollout(rollout_id).step
    while not serves(url, rollout_id, step=step):
        if monotonic() > deadline:
            raise StoreError(
                f"the gateway at {url} does not serve step {step} of rollout {rollout_id} after "
                f"{timeout_seconds:.0f} s. See `everfeed status`, and the slots at /v1/status."
            )
        sleep(0.1)


@task(name="visit", task_run_name="visitors from {start}", retries=1, retry_condition_fn=is_worth_retrying)
def visit(snapshot: Snapshot, recipe: Recipe, config: ReplayConfig, start: int, rollout_id: str) -> dict[str, float]:
    """Send one batch of visitors; each is a unit of its own, named after the rollout and its number."""
    report = send(snapshot, recipe, config, start=start, prefix=rollout_id)
    return {"visits": report.visits, "clicks": report.clicks, "failed": report.failed, "seconds": report.seconds}


def send(snapshot: Snapshot, recipe: Recipe, config: ReplayConfig, *, start: int, prefix: str) -> ReplayReport:
    """Send the visitors from number `start` to the gateway."""
    home = platform()
    visitors, vocabulary, surface = _visitors(snapshot.model_dump_json(), recipe.model_dump_json(), config)
    end = min(start + config.visitors_a_look, config.visitors)
    visits = list(_visits(visitors, vocabulary, range(start, end), prefix=prefix, length=config.history_length))
    return replay(home.settings.gateway_url, visits, k=config.k, surface=surface)


@lru_cache(maxsize=2)
def _visitors(snapshot: str, recipe: str, config: ReplayConfig) -> tuple[Visitors, Vocabulary, str]:
    """Draw all visitors of a replay once; batches are slices of it."""
    split = read_split(platform(), Snapshot.model_validate_json(snapshot), Recipe.model_validate_json(recipe))
    names, counts = np.unique(split.test.surfaces, return_counts=True)
    visitors = resample(split.test, count=config.visitors, seed=config.seed)
    return visitors, split.vocabulary, str(names[counts.argmax()])


def _visits(visitors: Visitors, vocabulary: Vocabulary, numbers: range, *, prefix: str, length: int) -> Iterator[Visit]:
    histories = visitors.histories.last(length)
    for number in numbers:
        past = slice(histories.starts[number], histories.ends[number])
        items = vocabulary.decode(histories.items[past]).tolist()
        times = histories.timestamps[past].tolist()
        future = visitors.futures.row(number)
        yield Visit(
            visitor=f"resampled-{prefix}-{number}",
            history=tuple(PastEvent(item, time) for item, time in zip(items, times, strict=True)),
            future=frozenset(vocabulary.decode(future[future >= FIRST_ITEM]).tolist()),
        )
