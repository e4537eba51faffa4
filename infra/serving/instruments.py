"""What the gateway counts and measures."""

from dataclasses import dataclass, field

from infra.serving.metrics import Counter, Histogram


@dataclass(frozen=True)
class Instruments:
    """Every counter and histogram; gauges are read from their owners when they are asked for."""

    requests: Counter = field(
        default_factory=lambda: Counter("everfeed_http_requests", "Answers by path and status.", ("path", "status"))
    )
    latency: Histogram = field(
        default_factory=lambda: Histogram("everfeed_recommend_seconds", "Time to a list, by arm.", labels=("arm",))
    )
    fallbacks: Counter = field(
        default_factory=lambda: Counter("everfeed_fallbacks", "Popular items in a model's place.", ("arm", "reason"))
    )
    feedback: Counter = field(
        default_factory=lambda: Counter(
            "everfeed_feedback_events", "Feedback events by what became of them.", ("outcome",)
        )
    )

    shadowed: Counter = field(
        default_factory=lambda: Counter(
            "everfeed_shadow_requests",
            "Requests that a challenger answers unseen, by what became of them.",
            ("outcome",),
        )
    )

    refused: Counter = field(
        default_factory=lambda: Counter(
            "everfeed_refused_requests", "Requests that were not let in, by lane and reason.", ("lane", "reason")
        )
    )

    def all(self) -> tuple[Counter | Histogram, ...]:
        """Return them in the order of the exposition."""
        return (self.requests, self.latency, self.fallbacks, self.feedback, self.shadowed, self.refused)
