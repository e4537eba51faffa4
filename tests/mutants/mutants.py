"""Hand-made faults in the code that decides: each is a small change that a careless edit could make.

A mutant names the file, the exact snippet that it changes (it must stand there once), what it becomes, and the test
files of which at least one test must then fail. When a snippet is edited on purpose, edit it here too.
"""

from dataclasses import dataclass

_GATE = "recmodels/evaluation/gate.py"
_METRICS = "recmodels/evaluation/metrics.py"
_EVALUATOR = "recmodels/evaluation/evaluator.py"
_COMPARISON = "recmodels/evaluation/comparison.py"
_POLICY = "monitoring/policy.py"
_RULES = "monitoring/canary/rules.py"
_CASE = "monitoring/canary/case.py"
_SHADOW = "monitoring/canary/shadow_rules.py"
_READING = "monitoring/canary/reading.py"
_SPLITS = "recmodels/data/splits.py"
_CUTS = "recmodels/data/cuts.py"

_GATE_TEST = "tests/recmodels/evaluation/test_gate.py"
_METRICS_TEST = "tests/recmodels/evaluation/test_metrics.py"
_EVALUATOR_TEST = "tests/recmodels/evaluation/test_evaluator.py"
_COMPARISON_TEST = "tests/recmodels/evaluation/test_comparison.py"
_POLICY_TEST = "tests/monitoring/test_policy.py"
_JUDGE_TEST = "tests/monitoring/canary/test_judge.py"
_SHADOW_TEST = "tests/monitoring/canary/test_shadow.py"
_READING_TEST = "tests/monitoring/canary/test_reading.py"
_SPLITS_TEST = "tests/recmodels/data/test_splits.py"
_CUTS_TEST = "tests/recmodels/data/test_cuts.py"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: ``area: what is wrong``; areas are gate, metrics, policy, judge and split.
        file: Path from the repository's root.
        original: Snippet of the file, which holds it once.
        replacement: What stands there instead.
        test: Test file in which a test must fail.
    """

    name: str
    file: str
    original: str
    replacement: str
    test: str

    @property
    def area(self) -> str:
        """The part of the code that the fault is in."""
        return self.name.partition(":")[0]


GATE = (
    Mutant("gate: lower end judged", _GATE, "comparison.upper >= 0", "comparison.lower >= 0", _GATE_TEST),
    Mutant(
        "gate: sign of the tolerated drop",
        _GATE,
        "comparison.relative >= -config.maximum_relative_drop",
        "comparison.relative >= config.maximum_relative_drop",
        _GATE_TEST,
    ),
    Mutant("gate: an unchanged slice refuses", _GATE, "part.upper >= 0", "part.upper > 0", _GATE_TEST),
    Mutant(
        "gate: slice users off by one",
        _GATE,
        "part.num_users >= config.minimum_slice_users",
        "part.num_users > config.minimum_slice_users",
        _GATE_TEST,
    ),
    Mutant(
        "gate: floor is inclusive", _GATE, "value > config.minimum_value", "value >= config.minimum_value", _GATE_TEST
    ),
    Mutant("gate: chance itself suffices", _GATE, "config.chance_factor * chance,", "chance,", _GATE_TEST),
    Mutant("gate: all of popularity is asked", _GATE, "config.floor_share * best,", "best,", _GATE_TEST),
    Mutant(
        "gate: coverage compared by difference",
        _GATE,
        "config.champion_coverage_share * reference,",
        "reference - config.champion_coverage_share,",
        _GATE_TEST,
    ),
    Mutant("gate: minimum is exclusive", _GATE, "observed >= threshold,", "observed > threshold,", _GATE_TEST),
    Mutant("gate: maximum is exclusive", _GATE, "observed <= threshold,", "observed < threshold,", _GATE_TEST),
    Mutant("gate: one passed check suffices", _GATE, "passed=all(", "passed=any(", _GATE_TEST),
    Mutant(
        "gate: the older of two catalogues is the measure",
        _GATE,
        "usual = min(known.missing_target_share",
        "usual = max(known.missing_target_share",
        _GATE_TEST,
    ),
    Mutant(
        "gate: the latency limit is twice what it is",
        _GATE,
        "limit, what = config.maximum_latency_seconds,",
        "limit, what = 2 * config.maximum_latency_seconds,",
        _GATE_TEST,
    ),
    Mutant(
        "gate: one non-finite answer is let through",
        _GATE,
        "candidate.non_finite, 0",
        "candidate.non_finite, 1",
        _GATE_TEST,
    ),
    Mutant(
        "gate: baseline minus candidate",
        _COMPARISON,
        "pairs.candidate - pairs.baseline",
        "pairs.baseline - pairs.candidate",
        _COMPARISON_TEST,
    ),
    Mutant(
        "gate: slices at the plain confidence",
        _COMPARISON,
        "1 - (1 - confidence) / max(len(parts), 1)",
        "confidence",
        _COMPARISON_TEST,
    ),
    Mutant(
        "gate: one-sided interval",
        "recmodels/evaluation/bootstrap.py",
        "[(1 - confidence) / 2, (1 + confidence) / 2]",
        "[1 - confidence, confidence]",
        "tests/recmodels/evaluation/test_bootstrap.py",
    ),
)

METRICS = (
    Mutant("metrics: discount off by one", _METRICS, "np.arange(2, k + 2)", "np.arange(3, k + 3)", _METRICS_TEST),
    Mutant(
        "metrics: ideal of k relevant items",
        _METRICS,
        "[np.minimum(k, judged.num_targets) - 1]",
        "[k - 1]",
        _METRICS_TEST,
    ),
    Mutant("metrics: rank off by one", _METRICS, "hits.argmax(axis=1) + 1", "hits.argmax(axis=1) + 2", _METRICS_TEST),
    Mutant(
        "metrics: recall over reachable targets",
        _METRICS,
        ".sum(axis=1) / judged.num_targets",
        ".sum(axis=1) / np.minimum(k, judged.num_targets)",
        _METRICS_TEST,
    ),
    Mutant(
        "metrics: targets outside the catalogue forgotten",
        _METRICS,
        "return keys, num_targets + np.bincount(rows[items == UNKNOWN], minlength=len(targets))",
        "return keys, num_targets",
        _METRICS_TEST,
    ),
    Mutant(
        "metrics: repeated items accepted",
        _METRICS,
        "ordered[:, 1:] != PADDING",
        "ordered[:, 1:] == PADDING",
        _METRICS_TEST,
    ),
    Mutant("metrics: Gini off by one", _METRICS, "(n + 1) / n)", "(n - 1) / n)", _METRICS_TEST),
    Mutant("metrics: sign of novelty", _METRICS, "-np.log2(counts /", "np.log2(counts /", _METRICS_TEST),
    Mutant("metrics: pairs with a common category", _METRICS, "judged & ~shares", "judged & shares", _METRICS_TEST),
    Mutant(
        "metrics: chance fills empty slots",
        _METRICS,
        "np.minimum(k, num_candidates)",
        "np.full_like(num_candidates, k)",
        _METRICS_TEST,
    ),
    Mutant(
        "metrics: queries are summed",
        _EVALUATOR,
        "np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)",
        "sums",
        _EVALUATOR_TEST,
    ),
    Mutant(
        "metrics: targets keep another vocabulary",
        _EVALUATOR,
        "items=table[queries.targets.items]",
        "items=queries.targets.items",
        _EVALUATOR_TEST,
    ),
    Mutant(
        "metrics: chance counts seen items",
        _EVALUATOR,
        "showable[*histories.flat()] = False",
        "showable[*histories.flat()] = True",
        _EVALUATOR_TEST,
    ),
    Mutant(
        "metrics: head rounded down",
        "recmodels/evaluation/slices.py",
        "math.ceil(",
        "math.floor(",
        "tests/recmodels/evaluation/test_slices.py",
    ),
)

POLICY = (
    Mutant(
        "policy: budget counts older retrains",
        _POLICY,
        "now - at < timedelta(days=7)",
        "now - at > timedelta(days=7)",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: budget off by one",
        _POLICY,
        "len(week) >= config.weekly_retrains",
        "len(week) > config.weekly_retrains",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: cool-down reversed",
        _POLICY,
        "now - last < timedelta(days=config.cool_down_days)",
        "now - last > timedelta(days=config.cool_down_days)",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: new rows off by one",
        _POLICY,
        "state.new_labelled_rows < config.minimum_new_rows",
        "state.new_labelled_rows <= config.minimum_new_rows",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: drifted rows off by one",
        _POLICY,
        "state.drifted_rows < config.minimum_drifted_rows",
        "state.drifted_rows <= config.minimum_drifted_rows",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: the smallest drift says since when",
        _POLICY,
        "most = max(drifted",
        "most = min(drifted",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: an old release is rolled back",
        _POLICY,
        "since <= result.since <= until",
        "since <= result.since",
        _POLICY_TEST,
    ),
    Mutant(
        "policy: rolls back to nothing",
        _POLICY,
        "since is None or not state.has_previous_champion",
        "since is None",
        _POLICY_TEST,
    ),
    Mutant("policy: retrains on broken data", _POLICY, 'if "data" in {', 'if "data" not in {', _POLICY_TEST),
)

JUDGE = (
    Mutant(
        "judge: first non-finite score forgiven", _RULES, "canary.non_finite > 0", "canary.non_finite > 1", _JUDGE_TEST
    ),
    Mutant(
        "judge: a broken split beats a rollback",
        _RULES,
        "    never_event,\n    guardrail,",
        "    never_event,\n    split_broken,\n    guardrail,",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: alpha of another rule",
        _RULES,
        "np.asarray(value), alpha=case.config.guardrail_alpha",
        "np.asarray(value), alpha=case.config.srm_alpha",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: last step off by one",
        _CASE,
        "self.step == len(self.config.steps) - 1",
        "self.step == len(self.config.steps)",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: promotes whatever is readable",
        _RULES,
        "if not case.reading.is_not_inferior",
        "if not case.reading.is_readable",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: promotes at the deadline",
        _RULES,
        'Action.ROLLBACK if case.config.on_inconclusive == "rollback"',
        'Action.PROMOTE if case.config.on_inconclusive == "rollback"',
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: goes on without data",
        _CASE,
        "return Finding(Action.HOLD, rule, reason)",
        "return Finding(Action.CONTINUE, rule, reason)",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: deadline never comes",
        _CASE,
        "self.now >= self.evidence.deadline_at",
        "self.now < self.evidence.step_started_at",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: worse by the lower bound",
        _READING,
        "is_readable & (above < 0)",
        "is_readable & (below < 0)",
        _READING_TEST,
    ),
    Mutant("judge: margin forgotten", _READING, "margin=config.delta", "margin=0.0", _READING_TEST),
    Mutant(
        "judge: sign of the alarm's limit", _READING, "log_e >= -np.log(alpha)", "log_e >= np.log(alpha)", _READING_TEST
    ),
    Mutant(
        "judge: minimum of users off by one",
        _READING,
        ">= config.minimum_users",
        "> config.minimum_users",
        _READING_TEST,
    ),
    Mutant(
        "judge: alpha doubled",
        "monitoring/canary/confidence_sequence.py",
        "np.sqrt(clock + 1.0) / (2.0 * alpha)",
        "np.sqrt(clock + 1.0) / (4.0 * alpha)",
        "tests/monitoring/canary/test_confidence_sequence.py",
    ),
    Mutant(
        "judge: guard takes the larger value",
        "monitoring/canary/eprocess.py",
        "np.minimum(at_design",
        "np.maximum(at_design",
        "tests/monitoring/canary/test_eprocess.py",
    ),
    Mutant(
        "judge: sign of a covariance",
        "monitoring/canary/ratio.py",
        "arm.yy - 2.0 * ratio * arm.ny",
        "arm.yy + 2.0 * ratio * arm.ny",
        "tests/monitoring/canary/test_ratio.py",
    ),
    Mutant(
        "judge: sign of the prior",
        "monitoring/canary/sample_ratio.py",
        "gammaln(concentration) - gammaln(concentration + total)",
        "gammaln(concentration + total) - gammaln(concentration)",
        "tests/monitoring/canary/test_sample_ratio.py",
    ),
    Mutant(
        "judge: promotes without the approval that is asked for",
        _RULES,
        "if case.config.requires_approval else",
        "if not case.config.requires_approval else",
        _JUDGE_TEST,
    ),
    Mutant(
        "judge: first non-finite score in shadow forgiven",
        _SHADOW,
        "evidence.non_finite > 0",
        "evidence.non_finite > 1",
        _SHADOW_TEST,
    ),
    Mutant(
        "judge: shadow goes on without data",
        _SHADOW,
        "return ShadowFinding(Action.HOLD, rule, reason)",
        "return ShadowFinding(Action.CONTINUE, rule, reason)",
        _SHADOW_TEST,
    ),
    Mutant("judge: strangers let out of shadow", _SHADOW, "or overlap >= limit", "or overlap >= 0", _SHADOW_TEST),
    Mutant(
        "judge: minimum of requests off by one",
        _SHADOW,
        "self.evidence.requests >= self.config.minimum_requests",
        "self.evidence.requests > self.config.minimum_requests",
        _SHADOW_TEST,
    ),
    Mutant("judge: NaN latency is fast", _SHADOW, "if not seconds <= limit", "if seconds > limit", _SHADOW_TEST),
    Mutant(
        "judge: shadow alarms at alpha itself",
        _SHADOW,
        "case.log_e[name] < -math.log(config.alpha)",
        "case.log_e[name] < math.log(config.alpha)",
        _SHADOW_TEST,
    ),
)

SPLIT = (
    Mutant("split: an event at a cut belongs to the past", _CUTS, 'side="right"', 'side="left"', _CUTS_TEST),
    Mutant("split: two events are enough to leave one out", _CUTS, "_EVENTS = 3", "_EVENTS = 2", _CUTS_TEST),
    Mutant("split: validation is the test event", _CUTS, "parts[ends - 2]", "parts[ends - 1]", _CUTS_TEST),
    Mutant("split: the last event lies outside", _CUTS, "int(moments[-1]) + 1", "int(moments[-1])", _CUTS_TEST),
    Mutant(
        "split: test share taken twice",
        _CUTS,
        "count * (1 - split.test_fraction)),",
        "count * (1 - 2 * split.test_fraction)),",
        _CUTS_TEST,
    ),
    Mutant(
        "split: histories hold their own targets",
        _SPLITS,
        "first, encoded.known_before[starts])",
        "first, encoded.known_before[ends])",
        _SPLITS_TEST,
    ),
    Mutant(
        "split: known users are new", _SPLITS, "is_new = train_counts == 0", "is_new = train_counts > 0", _SPLITS_TEST
    ),
    Mutant("split: rare items off by one", _SPLITS, "pc.greater_equal(counts", "pc.greater(counts", _SPLITS_TEST),
    Mutant(
        "split: the catalogue sees the future",
        _SPLITS,
        "parts == TRAIN)), data)",
        "parts >= TRAIN)), data)",
        _SPLITS_TEST,
    ),
)

MUTANTS = (*GATE, *METRICS, *POLICY, *JUDGE, *SPLIT)
