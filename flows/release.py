"""Candidates -> a challenger: the best one on validation meets the gate, and is registered with the reasons."""

import math
from time import perf_counter

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.canary import reconcile
from flows.clock import utc_now
from flows.references import Candidate, Release, Snapshot
from flows.retries import is_worth_retrying
from flows.tracked import BUNDLE_FOLDER, track_card
from flows.train import evaluate_bundle, read_split
from flows.warm_start import since_of
from flows.wiring import Platform, platform
from infra.rollout_records import ModelReference, RolloutState
from infra.tenants import check_versions
from recmodels.bundle import load_bundle
from recmodels.data.interactions import positives
from recmodels.errors import GateRefusedError
from recmodels.evaluation.comparison import Comparison, compare
from recmodels.evaluation.footprint import Footprint, measure_footprint
from recmodels.evaluation.gate import GateDecision, decide
from recmodels.evaluation.record import Evaluation
from recmodels.ranker import Ranker
from recmodels.recipe import Recipe

_BASELINE = "popularity"
_VALIDATION_METRIC = "ndcg_at_10"


@flow(name="release", description="Choose a challenger, ask the gate, register it.", persist_result=False)
def release(
    snapshot: Snapshot,
    candidates: list[Candidate],
    *,
    nominee: Candidate | None = None,
    is_forced: bool = False,
) -> Release:
    """Release the best candidate, or say why not.

    On an empty registry popularity, past the gate's absolute checks, becomes champion first: without a champion there
    is nothing to compare a challenger with.

    Args:
        snapshot: The data that the candidates were trained on.
        candidates: What was trained.
        nominee: Ask the gate about this one, instead of the best on validation.
        is_forced: Register the challenger although the gate refuses it; the refusal is recorded with it.

    Raises:
        GateRefusedError: The registry is empty and popularity itself did not pass.
    """
    load_histories(snapshot, candidates[0].recipe)
    crown_first(snapshot, candidates)
    challenger = nominee or choose(candidates)
    return register(snapshot, challenger, candidates, is_forced=is_forced) if challenger else stay()


@task(name="load histories", retries=1, retry_condition_fn=is_worth_retrying)
def load_histories(snapshot: Snapshot, recipe: Recipe) -> int:
    """Bring what the gateway knows of users in line with what models learn from; live events since then stay."""
    home = platform()
    interactions = home.lake.read("interactions", version=snapshot.versions["interactions"])
    return home.histories.replace_all(positives(interactions, recipe.data), secret=home.settings.user_secret())


@task(name="crown the first champion", retries=1, retry_condition_fn=is_worth_retrying)
def crown_first(snapshot: Snapshot, candidates: list[Candidate]) -> bool:
    """Make popularity the champion of an empty registry; return whether it was empty."""
    home = platform()
    if home.rollouts.champion() is not None:
        return False
    first = _baseline(candidates) or max(candidates, key=_validation)
    evaluation = Evaluation.load(first.evaluation)
    footprint, config = _footprint(home, first), first.recipe.gate
    decision = decide(evaluation, champion=None, floor=None, comparison=None, config=config, footprint=footprint)
    if not decision.passed:
        raise GateRefusedError(
            f"there is no champion yet, and {first.recipe.name} may not become the first one: "
            + " ".join(decision.reasons)
        )
    why = "bootstrap: the registry was empty, and this passed the gate's absolute checks"
    version = _register(home, first, snapshot, state="champion", why=why)
    home.rollouts.set_bootstrap_champion(ModelReference(first.digest, version), now=utc_now(), by="release", reason=why)
    reconcile(home, reason=why)
    return True


@task(name="choose challenger")
def choose(candidates: list[Candidate]) -> Candidate | None:
    """Return the best candidate on validation that was not rolled back; None when none beats the one that serves.

    Without this last condition every repetition on the same data would put the second best on its way. Popularity is
    the exception: whatever may be better than it meets the gate. While a rollout is active its own challenger is the
    only choice, so that an interrupted lifecycle takes it up again and a nightly one leaves it in peace.
    """
    home = platform()
    if active := home.rollouts.active():
        return next((c for c in candidates if c.digest == active.challenger.digest), None)
    champion = home.rollouts.champion()
    tried = {r.challenger.digest for r in home.rollouts.rollouts() if r.state == RolloutState.ROLLED_BACK}
    rivals = [c for c in candidates if c.recipe.model.name != _BASELINE]
    reached = max((_validation(c) for c in rivals if champion and c.digest == champion.digest), default=-math.inf)
    left = [c for c in rivals if c.digest not in tried and _validation(c) > reached]
    return max(left, key=_validation, default=None)


@task(name="register challenger", retries=1, retry_condition_fn=is_worth_retrying)
def register(snapshot: Snapshot, challenger: Candidate, candidates: list[Candidate], *, is_forced: bool) -> Release:
    """Ask the gate and register the challenger, with every reason as a tag on its version."""
    home = platform()
    champion = home.rollouts.champion()
    assert champion is not None, "a champion was crowned before"
    serving = _champion_evaluation(home, champion.digest, challenger, snapshot, candidates)
    baseline = _baseline(candidates)
    floor = Evaluation.load(baseline.evaluation) if baseline else None
    evaluation = Evaluation.load(challenger.evaluation)
    comparison = _compare(evaluation, serving, challenger.recipe)
    decision = decide(
        evaluation,
        champion=serving,
        floor=floor,
        comparison=comparison,
        config=challenger.recipe.gate,
        footprint=_footprint(home, challenger),
    )
    why = _reason(decision, comparison, is_forced=is_forced)
    state = "challenger" if decision.passed or is_forced else "refused"
    version = _register(home, challenger, snapshot, state=state, why=why)
    home.tracker.set_tags(
        challenger.run_id,
        {"gate": "passed" if decision.passed else "refused", "against champion": comparison.words, "why": why},
    )
    track_card(home, challenger, snapshot, evaluation, comparison=comparison, decision=decision)
    _describe(challenger, decision, comparison, version=version)
    is_let_through = state == "challenger"
    return Release(
        champion_digest=champion.digest,
        champion_version=champion.version,
        champion_name=_name_of(home, champion.digest),
        challenger=challenger if is_let_through else None,
        challenger_version=version if is_let_through else None,
        refused=decision.reasons,
        refused_by=decision.refused_by,
        is_forced=is_forced,
        comparison=comparison.words,
    )


@task(name="keep the champion")
def stay() -> Release:
    """Return a release without a challenger: every candidate serves already or was rolled back before."""
    home = platform()
    champion = home.rollouts.champion()
    assert champion is not None, "a champion was crowned before"
    return Release(
        champion_digest=champion.digest,
        champion_version=champion.version,
        champion_name=_name_of(home, champion.digest),
        challenger=None,
        challenger_version=None,
    )


def _validation(candidate: Candidate) -> float:
    return candidate.validation[_VALIDATION_METRIC]


def _baseline(candidates: list[Candidate]) -> Candidate | None:
    return next((c for c in candidates if c.recipe.model.name == _BASELINE), None)


def _name_of(home: Platform, digest: str) -> str:
    return str(load_bundle(home.settings.bundles, digest).manifest.recipe["name"])


def _champion_evaluation(
    home: Platform, digest: str, challenger: Candidate, snapshot: Snapshot, candidates: list[Candidate]
) -> Evaluation:
    """Return how the champion does on the challenger's test queries.

    It is measured anew when it is of another snapshot, or when the challenger's older users are to be compared.
    """
    recipe, since = challenger.recipe, since_of(home, challenger.digest)
    known = next((c for c in candidates if c.digest == digest), None)
    if known and since is None:
        return Evaluation.load(known.evaluation)
    return evaluate_bundle(home, digest, recipe, read_split(home, snapshot, recipe), since=since)


def _footprint(home: Platform, candidate: Candidate) -> Footprint:
    bundle = load_bundle(home.settings.bundles, candidate.digest)
    return measure_footprint(Ranker(bundle, home.settings.safety), clock=perf_counter)


def _compare(candidate: Evaluation, champion: Evaluation, recipe: Recipe) -> Comparison:
    return compare(
        candidate,
        champion,
        metric=recipe.gate.metric,
        samples=recipe.evaluation.bootstrap_samples,
        confidence=recipe.evaluation.confidence,
        seed=recipe.seed,
    )


def _reason(decision: GateDecision, comparison: Comparison, *, is_forced: bool) -> str:
    if decision.passed:
        return f"passed the gate: {comparison.words}"
    refusal = "refused by the gate (" + ", ".join(decision.refused_by) + "): " + " ".join(decision.reasons)
    return f"forced through although {refusal}" if is_forced else refusal


def _register(home: Platform, candidate: Candidate, snapshot: Snapshot, *, state: str, why: str) -> int:
    tags = {
        "state": state,
        "why": why,
        "recipe": candidate.recipe.name,
        "snapshot": snapshot.fingerprint,
        "data": snapshot.name,
        "ndcg_at_10": f"{candidate.metrics['ndcg_at_10']:.4f}",
        "recall_at_10": f"{candidate.metrics['recall_at_10']:.4f}",
        **({"origin": candidate.origin} if candidate.origin else {}),
    }
    known = {one.digest for one in home.registry.versions()}
    if candidate.digest not in known:
        check_versions(len(known), home.settings.quotas)
    source = f"runs:/{candidate.run_id}/{BUNDLE_FOLDER}"
    return home.registry.register(candidate.digest, run_id=candidate.run_id, source=source, tags=tags)


def _describe(candidate: Candidate, decision: GateDecision, comparison: Comparison, *, version: int) -> None:
    rows = "".join(
        f"| {check.name} | {'passed' if check.passed else '**refused**'} | {check.message} |\n"
        for check in decision.checks
    )
    create_markdown_artifact(
        key="gate",
        markdown=(
            f"# {candidate.recipe.name}, version {version}: {'passed' if decision.passed else 'refused'}\n\n"
            f"{comparison.words}\n\n| check | | what was seen |\n|---|---|---|\n{rows}\n"
            f"[MLflow run]({platform().settings.mlflow_ui_url}/#/runs/{candidate.run_id})\n"
        ),
        description="What the gate saw",
    )
