"""Champion and challenger, drafted into one list for the held-out users: a fast reading before the canary."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from flows.references import Reference, Snapshot
from flows.retries import is_worth_retrying
from flows.train import read_split
from flows.validate import read_data_set, snapshot_of
from flows.wiring import Platform, platform
from monitoring.canary.interleaving import InterleavingConfig, Preference
from monitoring.canary.prescreen import prescreen as draft
from recmodels.bundle import load_bundle
from recmodels.errors import StoreError
from recmodels.ranker import Ranker
from recmodels.recipe import parse_recipe

CAUTION = (
    "These are recorded choices, made from what an earlier system showed: an item that it never showed cannot win. A "
    "pre-screen neither promotes nor refuses; the canary decides."
)


class PrescreenConfig(BaseModel):
    """How the lists are drafted, and when a preference is believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(10, ge=1, le=200)
    """Length of the lists."""
    seed: int = Field(0, ge=0)
    """Of the coins that decide which model goes first."""
    interleaving: InterleavingConfig = InterleavingConfig()


class Prescreened(Reference):
    """What the held-out users preferred."""

    champion: str
    challenger: str
    verdict: str
    """``better``, ``worse`` or ``undecided``: the challenger against the champion."""
    wins: int
    """Users who chose more of the challenger's items."""
    losses: int
    ties: int
    e_better: float
    e_worse: float
    words: str
    caution: str = CAUTION


@flow(name="prescreen", description="Interleave champion and challenger for held-out users.", persist_result=False)
def prescreen(
    snapshot: Snapshot,
    challenger: str = "",
    champion: str = "",
    config: PrescreenConfig = PrescreenConfig(),  # noqa: B008 - frozen
) -> Prescreened:
    """Draft two bundles into one list for the test queries of a snapshot.

    Args:
        snapshot: Where the held-out events come from; they are cut as the challenger's recipe asks.
        challenger: Digest of a bundle; the active rollout's challenger where empty.
        champion: Digest of a bundle; who serves where empty.
        config: How.

    Raises:
        StoreError: A digest is empty, and there is no rollout or champion to take it from.
    """
    found = interleave(snapshot, challenger, champion, config)
    describe(found)
    return found


@task(name="interleave", retries=1, retry_condition_fn=is_worth_retrying)
def interleave(snapshot: Snapshot, challenger: str, champion: str, config: PrescreenConfig) -> Prescreened:
    """Draft both bundles' lists, and read what the users chose."""
    return screen(platform(), snapshot, challenger=challenger, champion=champion, config=config)


@task(name="describe pre-screen")
def describe(found: Prescreened) -> None:
    """Leave a summary."""
    rows = "".join(
        f"| {name} | {value} |\n"
        for name, value in (
            ("champion", found.champion[:12]),
            ("challenger", found.challenger[:12]),
            ("users won, lost, tied", f"{found.wins:,}, {found.losses:,}, {found.ties:,}"),
            ("e-value of better, of worse", f"{found.e_better:.3g}, {found.e_worse:.3g}"),
        )
    )
    markdown = f"# Pre-screen: {found.verdict}\n\n{found.words}.\n\n{found.caution}\n\n| | |\n|---|---|\n{rows}"
    create_markdown_artifact(key="prescreen", markdown=markdown, description="What held-out users preferred")


def screen_now(home: Platform, *, challenger: str = "", champion: str = "", config: PrescreenConfig) -> Prescreened:
    """Draft two bundles into one list for the held-out users of the lake as it is; no flow runs."""
    held = read_data_set(home)
    snapshot = snapshot_of(home, name=held.name, is_order_only=held.is_order_only)
    return screen(home, snapshot, challenger=challenger, champion=champion, config=config)


def screen(
    home: Platform, snapshot: Snapshot, *, challenger: str = "", champion: str = "", config: PrescreenConfig
) -> Prescreened:
    """Draft two bundles into one list for the test queries of a snapshot, and read what the users chose."""
    digests = champion or _champion(home), challenger or _challenger(home)
    first, second = (load_bundle(home.settings.bundles, digest) for digest in digests)
    recipe = parse_recipe(second.manifest.recipe)
    split = read_split(home, snapshot, recipe)
    found = draft(
        Ranker(first, home.settings.safety),
        Ranker(second, home.settings.safety),
        split.test,
        vocabulary=split.vocabulary,
        k=config.k,
        remove_seen=recipe.evaluation.remove_seen,
        seed=config.seed,
        config=config.interleaving,
    )
    return _reported(found, champion=first.digest, challenger=second.digest)


def _reported(found: Preference, *, champion: str, challenger: str) -> Prescreened:
    return Prescreened(
        champion=champion,
        challenger=challenger,
        verdict=found.verdict,
        wins=found.wins,
        losses=found.losses,
        ties=found.ties,
        e_better=found.e_better,
        e_worse=found.e_worse,
        words=found.words,
    )


def _champion(home: Platform) -> str:
    champion = home.rollouts.champion()
    if champion is None:
        raise StoreError("there is no champion to draft against. Run a lifecycle first, or name a bundle's digest.")
    return champion.digest


def _challenger(home: Platform) -> str:
    active = home.rollouts.active()
    if active is None:
        raise StoreError("no rollout is active, so there is no challenger. Name a bundle's digest with --challenger.")
    return active.challenger.digest
