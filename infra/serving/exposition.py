"""What `/metrics` says: the figures of this worker, added to those of the others where there are any."""

from collections.abc import Callable
from functools import partial

from infra.serving import metrics
from infra.serving.admission import Admission
from infra.serving.calls import Answer
from infra.serving.figures import SharedFigures
from infra.serving.gateway import Gateway
from infra.serving.metrics import Gauge, Metric


class Exposition:
    """The metrics of a worker.

    Args:
        gateway: What is measured.
        admission: What lets requests in.
        version: Version of the service.
        shared: Where the other workers' figures are; None where there is one process alone.
    """

    def __init__(
        self, gateway: Gateway, admission: Admission, *, version: str, shared: SharedFigures | None = None
    ) -> None:
        self._facts = {"version": version}
        self._shared = shared
        self._metrics: list[Metric] = [*gateway.instruments.all(), gateway.log.lag, *_gauges(gateway)]
        for lane in admission.lanes:
            read: Callable[[], float] = partial(getattr, lane, "inside")
            self._metrics.append(Gauge(f"everfeed_{lane.name}_inside", "Requests let in and not answered.", read))

    def publish(self) -> None:
        """Leave the figures for the other workers; about once a second, and at the end."""
        if self._shared is not None:
            self._shared.publish(metrics.figures_of(self._metrics))

    def answer(self) -> Answer:
        """Return the whole text; other workers' part of it is at most a second old."""
        others = self._shared.before_and_others() if self._shared is not None else []
        text = metrics.render(metrics.combined(self._metrics, others), facts=self._facts)
        return Answer(text.encode(), media_type=metrics.CONTENT_TYPE.encode())


def _gauges(gateway: Gateway) -> list[Gauge]:
    log = gateway.log
    return [
        Gauge("everfeed_workers", "Processes that answer.", lambda: 1),
        Gauge("everfeed_log_queue_rows", "Rows waiting to be written.", lambda: log.depth),
        Gauge("everfeed_log_written_rows", "Answers written since the start.", lambda: log.written),
        Gauge(
            "everfeed_canary_share",
            "Share of the challenger's users.",
            lambda: gateway.view.lineup.serving.share,
            combine=max,
        ),
        Gauge(
            "everfeed_store_reachable",
            "1 when the last poll of every worker succeeded.",
            lambda: gateway.view.is_store_reachable,
            combine=min,
        ),
    ]
