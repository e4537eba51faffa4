"""Counters, gauges and histograms of the gateway in the OpenMetrics text format."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

LATENCY_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of latency buckets, in seconds."""

Labels = tuple[str, ...]
Rows = list[tuple[Labels, list[float]]]
"""Values by labels."""


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

    def values(self) -> Rows:
        """Return its values by labels."""
        return [(labels, [value]) for labels, value in self._values.items()]

    def holding(self, rows: Rows) -> "Counter":
        """Return a counter of this name with other values."""
        return Counter(self.name, self.words, self.labels, {labels: value for labels, (value,) in rows})

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
        combine: Makes one number of those of several workers.
    """

    name: str
    words: str
    read: Callable[[], float]
    combine: Callable[[Iterable[float]], float] = sum

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
            self._counts.setdefault((), [0] * (len(self.bounds) + 1))

    def observe(self, value: float, *values: str) -> None:
        """Count one observation under these label values."""
        assert len(values) == len(self.labels), f"{self.name} takes the labels {self.labels}"
        counts = self._counts.setdefault(values, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        self._sums[values] = self._sums.get(values, 0.0) + value

    def values(self) -> Rows:
        """Return, by labels, the counts of each bucket and then the sum."""
        return [(labels, [*counts, self._sums.get(labels, 0.0)]) for labels, counts in self._counts.items()]

    def holding(self, rows: Rows) -> "Histogram":
        """Return a histogram of this name with other values."""
        counts = {labels: [int(count) for count in values[:-1]] for labels, values in rows}
        sums = {labels: values[-1] for labels, values in rows}
        return Histogram(self.name, self.words, self.bounds, self.labels, counts, sums)

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


Metric = Counter | Gauge | Histogram


class Figures(msgspec.Struct, frozen=True):
    """What one worker counted, apart from the process: by metric and labels.

    Attributes:
        counters: Values, of histograms too: the counts of each bucket and, last, the sum.
        gauges: Values.
    """

    counters: dict[str, Rows] = {}
    gauges: dict[str, float] = {}

    def after(self, before: "Figures") -> "Figures":
        """Return these figures with the counters of a predecessor added."""
        return Figures(_added([before.counters, self.counters]), self.gauges)

    def without_gauges(self) -> "Figures":
        """Return the counters alone."""
        return Figures(self.counters)


def figures_of(metrics: Sequence[Metric]) -> Figures:
    """Return what the metrics say now."""
    counters = {metric.name: metric.values() for metric in metrics if not isinstance(metric, Gauge)}
    return Figures(counters, {metric.name: float(metric.read()) for metric in metrics if isinstance(metric, Gauge)})


def combined(metrics: Sequence[Metric], others: Sequence[Figures]) -> list[Metric]:
    """Return metrics that say what these and the others say together."""
    own = figures_of(metrics)
    counters = _added([own.counters, *(other.counters for other in others)])
    made: list[Metric] = []
    for metric in metrics:
        if isinstance(metric, Gauge):
            values = [figures.gauges[metric.name] for figures in (own, *others) if metric.name in figures.gauges]
            made.append(Gauge(metric.name, metric.words, partial(metric.combine, values)))
        else:
            made.append(metric.holding(counters[metric.name]))
    return made


def _added(parts: Sequence[Mapping[str, Rows]]) -> dict[str, Rows]:
    sums: dict[str, dict[Labels, list[float]]] = {}
    for part in parts:
        for name, rows in part.items():
            known = sums.setdefault(name, {})
            for labels, values in rows:
                before = known.get(labels)
                known[labels] = list(values) if before is None else [a + b for a, b in zip(before, values, strict=True)]
    return {name: list(known.items()) for name, known in sums.items()}


def render(metrics: Sequence[Metric], *, facts: Mapping[str, str]) -> str:
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
