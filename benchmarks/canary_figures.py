"""The targets of the canary's judge, each with the simulated rollouts that it is measured on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.canary_worlds import World, simulate
from benchmarks.table import Figure
from monitoring.canary import CanaryConfig
from monitoring.canary.reading import guardrail_log_e, is_alarm, read, sample_ratio_log_e

CONFIG = CanaryConfig(reward_cap=None)
A_A_VISITS = 125_000


@dataclass(frozen=True)
class Scenario:
    """Rollouts of one kind.

    Attributes:
        world: How users behave.
        visits: Length of a rollout, both arms together.
        every: Visits between two looks.
        counts_canary: Results are in requests of the canary rather than in users of both arms.
        split: Share of users that truly reach the canary; where given, the sample ratio alone is looked at.
        factor: Repetitions of this scenario for one asked for; short rollouts are drawn more often.
        use_covariate: The judge uses the users' earlier click rates.
        stream: Scenario whose random numbers are drawn again; empty for its own.
    """

    world: World = field(default_factory=World)
    visits: int = A_A_VISITS
    every: int = 200
    counts_canary: bool = False
    split: float | None = None
    factor: int = 1
    use_covariate: bool = False
    stream: str = ""


@dataclass(frozen=True)
class Rollout:
    """How one rollout ended; None for what did not happen.

    Attributes:
        rolled_back_at: Users, or canary requests, at the first look at which a rule rolled back or flagged.
        rule: The rule of that look.
        promoted_at: Users at the first look at which non-inferiority held, whatever happened before.
    """

    rolled_back_at: float | None = None
    rule: str = ""
    promoted_at: float | None = None

    @property
    def is_promoted(self) -> bool:
        """Whether promotion came strictly before any rollback."""
        return self.promoted_at is not None and self.promoted_at < (self.rolled_back_at or np.inf)

    @property
    def is_rolled_back(self) -> bool:
        """Whether a rule rolled back before promotion; on a tie, rollback."""
        return self.rolled_back_at is not None and not self.is_promoted


SCENARIOS = {
    "aa": Scenario(),
    "aa_returning": Scenario(World(returning=0.6)),
    "aa_swing": Scenario(World(swing=0.25)),
    "aa_watch": Scenario(World(is_watch=True)),
    "aa_clustered": Scenario(World(returning=0.6, is_clustered=True)),
    "loss_5": Scenario(World(effect=-0.05, has_covariate=True), visits=160_000, factor=3),
    "loss_5_covariate": Scenario(
        World(effect=-0.05, has_covariate=True), visits=160_000, factor=3, use_covariate=True, stream="loss_5"
    ),
    "loss_10": Scenario(World(effect=-0.10), visits=60_000, factor=5),
    "loss_20": Scenario(World(effect=-0.20), visits=20_000, factor=5),
    "loss_50": Scenario(World(effect=-0.50), visits=8_000, factor=5),
    "errors_5": Scenario(World(canary_rates={"error": 0.05}), visits=2_000, every=1, counts_canary=True, factor=5),
    "errors_20": Scenario(World(canary_rates={"error": 0.2}), visits=600, every=1, counts_canary=True, factor=5),
    "errors_100": Scenario(World(canary_rates={"error": 1.0}), visits=200, every=1, counts_canary=True, factor=5),
    "slow_5": Scenario(World(canary_rates={"slow": 0.05}), visits=20_000, factor=5),
    "split_50": Scenario(visits=400_000, split=0.5, factor=50),
    "split_46": Scenario(visits=40_000, every=100, split=0.46, factor=5),
    "split_48": Scenario(visits=100_000, every=100, split=0.48, factor=5),
}


def roll_out(scenario: Scenario, rng: np.random.Generator) -> Rollout:
    """Draw one rollout and ask the judge's own functions at every look."""
    if scenario.split is not None:
        return _split_only(scenario, scenario.split, rng)
    looks = simulate(scenario.world, visits=scenario.visits, every=scenario.every, rng=rng)
    reading = read(looks.canary, looks.control, CONFIG.model_copy(update={"use_covariate": scenario.use_covariate}))
    fired = {"primary_worse": reading.is_worse}
    for name, (on_canary, on_control) in looks.events.items():
        log_e = guardrail_log_e(
            on_canary, on_control, users_canary=looks.canary.users, users_control=looks.control.users
        )
        fired[f"guardrail:{name}"] = is_alarm(log_e, alpha=CONFIG.guardrail_alpha)
    clock = looks.canary.users if scenario.counts_canary else looks.users
    rules, table = list(fired), np.stack(list(fired.values()))
    at = _first(clock, table.any(axis=0))
    rule = "" if at is None else rules[int(np.argmax(table[:, int(np.argmax(table.any(axis=0)))]))]
    return Rollout(at, rule, _first(clock, reading.is_not_inferior))


def _split_only(scenario: Scenario, split: float, rng: np.random.Generator) -> Rollout:
    looks = scenario.visits // scenario.every
    users = scenario.every * np.arange(1, looks + 1)
    canary = np.cumsum(rng.binomial(scenario.every, split, looks))
    alarms = is_alarm(sample_ratio_log_e(canary, users - canary), alpha=CONFIG.srm_alpha)
    return Rollout(_first(users, alarms), "sample_ratio")


def _first(clock: np.ndarray, is_true: np.ndarray) -> float | None:
    return float(clock[np.argmax(is_true)]) if np.any(is_true) else None


Results = dict[str, Sequence[Rollout]]


def share_rolled_back(name: str, label: str) -> Callable[[Results], Figure]:
    """Make the line of a false-rollback rate: at most 5 %, promotion not stopping the rollout."""

    def line(results: Results) -> Figure:
        rollouts = results[name]
        rules = [r.rule for r in rollouts if r.rolled_back_at is not None]
        share = len(rules) / len(rollouts)
        by_rule = ", ".join(f"{rule} {rules.count(rule)}" for rule in sorted(set(rules)))
        note = f"{len(rules)} of {len(rollouts)}, judged on after promotion" + (f"; {by_rule}" if by_rule else "")
        return Figure(f"A/A rolled back, {label}", "<= 5 %", f"{share:.1%}", share <= 0.05, note)

    return line


def detection(
    name: str, label: str, *, p95: float | None, median: float | None = None, unit: str = "users"
) -> Callable[[Results], Figure]:
    """Make the line of how soon a fault is rolled back, over all rollouts; one never found counts as infinite."""

    def line(results: Results) -> Figure:
        rollouts = results[name]
        at = np.array([r.rolled_back_at if r.is_rolled_back and r.rolled_back_at else np.inf for r in rollouts])
        middle, late = np.quantile(at, [0.5, 0.95], method="higher")
        wanted = [f"median <= {median:,.0f}"] if median else []
        wanted.append(f"p95 <= {p95:,.0f}" if p95 else "found, p95 stated")
        holds = middle <= (median or np.inf) and late <= (p95 or np.finfo(float).max)
        note = f"{np.mean(np.isfinite(at)):.1%} of {len(at)} found; {unit}"
        return Figure(label, ", ".join(wanted), f"median {middle:,.0f}, p95 {late:,.0f}", bool(holds), note)

    return line


def share_found(name: str, label: str) -> Callable[[Results], Figure]:
    """Make the line of the share rolled back within the rollout: at least 95 %."""

    def line(results: Results) -> Figure:
        share = float(np.mean([r.is_rolled_back for r in results[name]]))
        note = f"{len(results[name])} rollouts of {SCENARIOS[name].visits:,} users"
        return Figure(label, ">= 95 %", f"{share:.1%}", share >= 0.95, note)

    return line


def share_promoted(
    name: str, label: str, *, within: float, at_least: float = 0.0, at_most: float = 1.0
) -> Callable[[Results], Figure]:
    """Make the line of the share promoted before any rollback and within so many users."""

    def line(results: Results) -> Figure:
        rollouts = results[name]
        promoted = [r.is_promoted and (r.promoted_at or np.inf) <= within for r in rollouts]
        share = float(np.mean(promoted))
        target = f">= {at_least:.0%}" if at_least else f"<= {at_most:.1%}"
        crossed = sum(r.promoted_at is not None for r in rollouts)
        note = f"{sum(promoted)} of {len(rollouts)}; bound crossed at any time, rolled back or not: {crossed}"
        return Figure(label, target, f"{share:.1%}", at_least <= share <= at_most, note)

    return line


def share_flagged(name: str, label: str, *, at_most: float) -> Callable[[Results], Figure]:
    """Make the line of false sample-ratio flags."""

    def line(results: Results) -> Figure:
        flagged = [r.rolled_back_at is not None for r in results[name]]
        share = float(np.mean(flagged))
        note = f"{sum(flagged)} of {len(flagged)} rollouts of 2,000 looks"
        return Figure(label, f"<= {at_most:.1%}", f"{share:.2%}", share <= at_most, note)

    return line


def covariate_saving(results: Results) -> Figure:
    """Make the line of the users that CUPED saves in finding a loss of 5 %."""
    users = [
        np.array([r.rolled_back_at or SCENARIOS[name].visits for r in results[name]])
        for name in ("loss_5", "loss_5_covariate")
    ]
    saved = 1.0 - float(np.mean(users[1]) / np.mean(users[0]))
    by_median = 1.0 - float(np.median(users[1]) / np.median(users[0]))
    note = f"means {np.mean(users[0]):,.0f} and {np.mean(users[1]):,.0f}; by medians {by_median:.0%} fewer"
    return Figure("-5 % CTR with CUPED, correlation 0.5", ">= 20 % fewer users", f"{saved:.0%}", saved >= 0.2, note)


FIGURES: tuple[Callable[[Results], Figure], ...] = (
    share_rolled_back("aa", "plain"),
    share_rolled_back("aa_returning", "returning users"),
    share_rolled_back("aa_swing", "CTR swinging 25 % during the ramp"),
    share_rolled_back("aa_watch", "log-normal watch time"),
    share_rolled_back("aa_clustered", "clustered hides and slowness"),
    share_found("loss_5", "-5 % CTR rolled back"),
    detection("loss_5", "-5 % CTR", median=45_000, p95=125_000),
    covariate_saving,
    detection("loss_10", "-10 % CTR", p95=28_000),
    detection("loss_20", "-20 % CTR", p95=7_500),
    detection("loss_50", "-50 % CTR", p95=2_400),
    detection("errors_5", "5 % of requests failing", p95=400, unit="canary requests"),
    detection("errors_20", "20 % of requests failing", p95=100, unit="canary requests"),
    detection("errors_100", "all requests failing", p95=15, unit="canary requests"),
    detection("slow_5", "slow users 1 -> 5 %", p95=None),
    share_flagged("split_50", "sample ratio, false flag", at_most=0.001),
    detection("split_46", "sample ratio 46/54", p95=5_500),
    detection("split_48", "sample ratio 48/52", p95=22_000),
    share_promoted("aa", "equal model promoted within 125 k users", within=125_000, at_least=0.9),
    share_promoted("loss_5", "arm at -delta promoted", within=np.inf, at_most=0.025),
    share_promoted("loss_10", "arm at -2 delta promoted", within=np.inf, at_most=0.0),
)
