"""Whether retraining works: a retrain that fails leaves drift that nobody acts on, so it opens an incident itself."""

from datetime import datetime

from monitoring.result import CheckResult, Finding, Status

RETRAINING_MODEL = "retraining"
"""What the incident names instead of a model, so that no check of a model touches it."""
RETRAINING_FAMILY = "retraining"

_FIGURE = "the last retrain failed"


def retraining_result(retrain_id: str, *, outcome: str, words: str, ended_at: datetime, is_wanted: bool) -> CheckResult:
    """Return what the newest retrain that ended says of retraining; one that made no better model has worked.

    Args:
        retrain_id: Its key.
        outcome: What it came to; ``"failed"`` where it could not end.
        words: Why.
        ended_at: When.
        is_wanted: The drift that asked for it lasts.
    """
    if outcome != "failed" or not is_wanted:
        return CheckResult(_FIGURE, RETRAINING_FAMILY, Status.OK)
    seen = f"Retrain {retrain_id} failed at {ended_at:%Y-%m-%d %H:%M} UTC: {words}"
    cause = "the lifecycle could not end, while the drift that asked for it lasts"
    action = "Correct what it says; the policy asks for another within its limits, and `everfeed run` trains at once."
    finding = Finding(seen, cause, action)
    return CheckResult(
        _FIGURE, RETRAINING_FAMILY, Status.DRIFT, since=ended_at, message=finding.sentences(), finding=finding
    )
