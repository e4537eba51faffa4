"""Three times the load that the gateway can carry, then half of it: what is answered, refused, and how it recovers."""

import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving import homes
from benchmarks.serving.client import Load, closed_loop, http, run
from benchmarks.serving.figures import Row, not_measured, quantile
from benchmarks.serving.open_loop import arrivals, open_loop
from benchmarks.serving.plan import Plan, say
from benchmarks.serving.servers import Server, gateway

_FACTOR = 3.0
_GOODPUT, _REFUSAL_MS, _RECOVERY_SECONDS = 0.8, 20.0, 5.0
_CALM_SHARE, _CALM_MS = 0.5, 50.0
_WINDOW_SECONDS = 0.25
_CONNECTIONS, _MOST_CONNECTIONS = 256, 1024
_LEVELS = (16, 64)


def measure(plan: Plan) -> list[Row]:
    """Find the peak with a closed loop, then send three times as much on a schedule, then half."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "overload")
    bodies = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
    high, calm = plan.size(30, 3), plan.size(15, 2)
    rng = np.random.default_rng(plan.seed)
    with gateway(home.folder) as server:
        peak = _peak(server, bodies, seconds=plan.size(10, 2))
        say(f"peak {peak:.0f} requests/s")
        due = np.concatenate(
            [arrivals(_FACTOR * peak, high, rng=rng), high + arrivals(_CALM_SHARE * peak, calm, rng=rng)]
        )
        began = time.perf_counter()
        load = run(open_loop(server.port, bodies, due, connections=_CONNECTIONS, max_connections=_MOST_CONNECTIONS))
        say(f"took {time.perf_counter() - began:.1f} s for {high + calm} s of schedule")
    return _rows(load, due, peak=peak, high=high)


def _peak(server: Server, bodies: list[bytes], *, seconds: int) -> float:
    """Return the best rate of a closed loop over several levels, measured for about so many seconds each."""
    warm = run(closed_loop(server.port, bodies, connections=_LEVELS[0], total=500))
    total = int(warm.rate * seconds)
    return max(run(closed_loop(server.port, bodies, connections=level, total=total)).rate for level in _LEVELS)


def _rows(load: Load, due: NDArray[np.float64], *, peak: float, high: int) -> list[Row]:
    seconds = np.frombuffer(load.seconds, dtype=np.float64)
    statuses = np.frombuffer(load.statuses, dtype=np.uint16)
    is_high = due < high
    answered = due + seconds
    goodput = float(np.sum((statuses == 200) & (answered < high)) / high)
    refused = seconds[is_high & (statuses == 503)] * 1e3
    other = int(np.sum(~np.isin(statuses, (200, 503))))
    good = seconds[is_high & (statuses == 200)] * 1e3
    answered_share, late = np.mean(statuses[is_high] == 200), quantile(load.late_seconds, 0.99) * 1e3
    p50, p99 = (quantile(good.tolist(), share) for share in (0.5, 0.99))
    note = (
        f"peak {peak:.0f}/s, sent {np.sum(is_high) / high:.0f}/s for {high} s; 200: {answered_share:.0%}, p50 "
        f"{p50:.0f} ms, p99 {p99:.0f} ms; neither 200 nor 503: {other}; client {load.client_share:.0%} of a core, its "
        f"own lateness p99 {late:.1f} ms"
    )
    recovery = _recovery(due[~is_high] - high, seconds[~is_high], statuses[~is_high])
    rows = [
        Row(
            "3 x overload: goodput / peak",
            f">= {_GOODPUT:.0%}",
            f"{goodput / peak:.0%}",
            goodput >= _GOODPUT * peak,
            note,
        ),
    ]
    if len(refused):
        p99 = quantile(refused.tolist(), 0.99)
        share = f"{len(refused) / np.sum(is_high):.0%} were refused, p50 {quantile(refused.tolist(), 0.5):.1f} ms"
        holds = p99 <= _REFUSAL_MS and other == 0
        rows.append(Row("3 x overload: 503, p99", f"<= {_REFUSAL_MS:.0f} ms", f"{p99:.1f} ms", holds, share))
    else:
        rows.append(not_measured("3 x overload: 503, p99", f"<= {_REFUSAL_MS:.0f} ms", "nothing was refused"))
    words = f"at half the peak, first {_WINDOW_SECONDS:g} s from which all are 200 within {_CALM_MS:.0f} ms at p99"
    measured = "not within the run" if recovery is None else f"{recovery:.2f} s"
    holds = recovery is not None and recovery <= _RECOVERY_SECONDS
    return [*rows, Row("3 x overload: recovery", f"<= {_RECOVERY_SECONDS:.0f} s", measured, holds, words)]


def _recovery(due: NDArray[np.float64], seconds: NDArray[np.float64], statuses: NDArray[np.uint16]) -> float | None:
    """Return the start of the first window from which every later one is calm, or None."""
    windows = (due / _WINDOW_SECONDS).astype(np.int64)
    calm_from: float | None = None
    for window in range(int(windows.max()), -1, -1):
        inside = windows == window
        is_calm = np.all(statuses[inside] == 200) and quantile(seconds[inside].tolist(), 0.99) * 1e3 <= _CALM_MS
        if inside.any() and not is_calm:
            break
        calm_from = window * _WINDOW_SECONDS
    return calm_from
