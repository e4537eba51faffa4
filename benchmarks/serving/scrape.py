"""What the gateway counts about itself, read from its OpenMetrics text."""

import re

import httpx

from benchmarks.serving.servers import Server

_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$")


def scrape(server: Server) -> str:
    """Return the exposition of the worker that happens to answer."""
    return httpx.get(f"{server.url}/metrics", trust_env=False).text


def total(text: str, name: str) -> float:
    """Return the sum of a counter over its labels."""
    return sum(float(match["value"]) for match in _samples(text) if match["name"] == f"{name}_total")


def bound(text: str, name: str, share: float) -> float:
    """Return the smallest bound of a histogram below which at least `share` of the observations lie; inf above all."""
    buckets: dict[float, float] = {}
    for match in _samples(text):
        if match["name"] == f"{name}_bucket":
            limit = float(re.findall(r'le="([^"]+)"', match["labels"])[0].replace("+Inf", "inf"))
            buckets[limit] = buckets.get(limit, 0.0) + float(match["value"])
    everything = buckets.get(float("inf"), 0.0)
    return min((limit for limit, count in buckets.items() if count >= share * everything), default=float("inf"))


def _samples(text: str) -> list[re.Match[str]]:
    return [match for line in text.splitlines() if (match := _SAMPLE.match(line))]
