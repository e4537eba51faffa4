"""The canary's judge: evidence of both arms in, one verdict out. Pure functions over NumPy arrays."""

from monitoring.canary.arms import GUARDRAILS, ArmUnits, CanaryConfig, Evidence
from monitoring.canary.judge import judge
from monitoring.canary.verdict import Action, Verdict

__all__ = ["GUARDRAILS", "Action", "ArmUnits", "CanaryConfig", "Evidence", "Verdict", "judge"]
