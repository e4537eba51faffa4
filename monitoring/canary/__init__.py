"""The canary's judge: evidence of both arms in, one verdict out. Pure functions over NumPy arrays."""

from monitoring.canary.arms import GUARDRAILS, ArmUnits, CanaryConfig, Evidence
from monitoring.canary.judge import judge
from monitoring.canary.shadow import ShadowConfig, ShadowEvidence, judge_shadow
from monitoring.canary.verdict import Action, Verdict

__all__ = [
    "GUARDRAILS",
    "Action",
    "ArmUnits",
    "CanaryConfig",
    "Evidence",
    "ShadowConfig",
    "ShadowEvidence",
    "Verdict",
    "judge",
    "judge_shadow",
]
