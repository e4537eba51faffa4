from prometheus_client.openmetrics.parser import text_string_to_metric_families

from infra.serving.metrics import Counter, Gauge, Histogram, render


def test_reads_back_in_the_reference_parser() -> None:
    counter = Counter("everfeed_things", "Things.", ("kind",))
    counter.add('a "quoted"\nkind\\')
    counter.add("b", amount=2)
    histogram = Histogram("everfeed_seconds", "Time.", bounds=(0.1, 1.0), labels=("arm",))
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value, "rest")
    gauge = Gauge("everfeed_depth", "Depth.", lambda: 1.5)

    text = render([counter, histogram, gauge], facts={"version": "1"})

    families = {family.name: family for family in text_string_to_metric_families(text)}
    things = {sample.labels["kind"]: sample.value for sample in families["everfeed_things"].samples}
    assert things == {'a "quoted"\nkind\\': 1.0, "b": 2.0}
    buckets = {s.labels["le"]: s.value for s in families["everfeed_seconds"].samples if s.name.endswith("_bucket")}
    assert buckets == {"0.1": 2, "1.0": 3, "+Inf": 4}  # a bound belongs to its bucket; counts are cumulated
    sums = [s.value for s in families["everfeed_seconds"].samples if s.name.endswith("_sum")]
    assert sums == [0.05 + 0.1 + 0.5 + 3.0]
    assert families["everfeed_depth"].samples[0].value == 1.5
    assert families["everfeed_gateway"].type == "info"


def test_shows_zero_when_a_counter_without_labels_was_never_added_to() -> None:
    assert "everfeed_never_total 0" in Counter("everfeed_never", "Never.").lines()
