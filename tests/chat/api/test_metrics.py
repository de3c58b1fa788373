"""What is counted."""
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from hotpath.chat.api.metrics import Metrics


def test_each_answer_is_counted_once():
    metrics = Metrics()
    for took_s in (0.0005, 0.003, 99.0):
        metrics.count("GET", 200, took_s)
    metrics.count("X\n", 405, 0.0)
    text = metrics.text([("a_total", "A.", 3)], [("b", "B.", 4.5)], Counter({"up": 2}))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {tuple(sample.labels.values()): sample.value for sample in families["chat_api_requests"].samples} == {
        ("GET", "200"): 3, ("other", "405"): 1}
    buckets = {sample.labels["le"]: sample.value for sample in families["chat_api_request_seconds"].samples
               if sample.name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.005"], buckets["10.0"], buckets["+Inf"]) == (2, 3, 3, 4)
    assert families["a"].samples[0].value == 3
    assert families["b"].samples[0].value == 4.5
    assert {sample.labels["state"]: sample.value for sample in families["chat_api_gateways"].samples}["up"] == 2
