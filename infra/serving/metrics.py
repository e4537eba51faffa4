"""Counters, gauges and histograms of the gateway in the OpenMetrics text format."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

LATENCY_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of latency buckets, in seconds."""

Labels = tuple[str, ...]


@dataclass
class Counter:
    """A number a combination of labels that only grows.

    Args:
        name: Metric name without the suffix `_total`.
        words: What it counts.
        labels: Names of the labels.
    """

    name: str
    words: str
    labels: Labels = ()
    _values: dict[Labels, float] = field(default_factory=dict)

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Add `amount` under these label values."""
        assert len(values) == len(self.labels), f"{self.name} takes the labels {self.labels}"
        self._values[values] = self._values.get(values, 0.0) + amount

    def value(self, *values: str) -> float:
        """Return the number under these label values."""
        return self._values.get(values, 0.0)

    def lines(self) -> list[str]:
        """Return its lines of the text format."""
        known = self._values if self.labels else {(): self.value()}
        samples = [
            f"{self.name}_total{_braces(self.labels, key)} {_number(value)}" for key, value in sorted(known.items())
        ]
        return [*_head(self.name, "counter", self.words), *samples]


@dataclass
class Gauge:
    """A number that is read when it is asked for.

    Args:
        name: Metric name.
        words: What it tells.
        read: Returns the number.
    """

    name: str
    words: str
    read: Callable[[], float]

    def lines(self) -> list[str]:
        """Return its lines of the text format."""
        return [*_head(self.name, "gauge", self.words), f"{self.name} {_number(self.read())}"]


@dataclass
class Histogram:
    """Counts of observations below fixed bounds.

    Args:
        name: Metric name, with its unit.
        words: What is observed.
        bounds: Upper bounds in ascending order; infinity is added.
        labels: Names of the labels.
    """

    name: str
    words: str
    bounds: Sequence[float] = LATENCY_BOUNDS
    labels: Labels = ()
    _counts: dict[Labels, list[int]] = field(default_factory=dict)
    _sums: dict[Labels, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels:
            self._counts[()] = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, *values: str) -> None:
        """Count one observation under these label values."""
        assert len(values) == len(self.labels), f"{self.name} takes the labels {self.labels}"
        counts = self._counts.setdefault(values, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        self._sums[values] = self._sums.get(values, 0.0) + value

    def lines(self) -> list[str]:
        """Return its lines of the text format, counts cumulated."""
        lines = _head(self.name, "histogram", self.words)
        for key, counts in sorted(self._counts.items()):
            seen = 0
            for bound, count in zip([*map(str, self.bounds), "+Inf"], counts, strict=True):
                seen += count
                lines.append(f"{self.name}_bucket{_braces((*self.labels, 'le'), (*key, bound))} {seen}")
            lines.append(f"{self.name}_count{_braces(self.labels, key)} {seen}")
            lines.append(f"{self.name}_sum{_braces(self.labels, key)} {_number(self._sums.get(key, 0.0))}")
        return lines


def render(metrics: Sequence[Counter | Gauge | Histogram], *, facts: Mapping[str, str]) -> str:
    """Return the whole exposition.

    Args:
        metrics: In the order in which they appear.
        facts: Labels of the sample `everfeed_gateway_info`, such as the version.
    """
    head = _head("everfeed_gateway", "info", "The running gateway.")
    lines = [*head, f"everfeed_gateway_info{_braces(tuple(facts), tuple(facts.values()))} 1"]
    for metric in metrics:
        lines.extend(metric.lines())
    return "\n".join([*lines, "# EOF", ""])


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# TYPE {name} {kind}", f"# HELP {name} {words}"]


def _braces(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
