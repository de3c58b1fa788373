"""What operators ask."""
from prometheus_client.parser import text_string_to_metric_families

ONE_ENGINE = True


def test_healthz_says_ok_to_anybody(api):
    answer = api.caller().get("/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_metrics_are_what_prometheus_reads(api, bob):
    bob.send(bob.channel())
    answer = api.caller().get("/metrics")
    assert answer.fields["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    requests = {(sample.labels["method"], sample.labels["code"]): sample.value
                for sample in families["chat_api_requests"].samples}
    assert requests["POST", "201"] >= 2
    assert families["chat_api_commits"].samples[0].value >= 2
    assert families["chat_api_writes"].samples[0].value >= families["chat_api_commits"].samples[0].value
    assert {sample.labels["state"] for sample in families["chat_api_gateways"].samples} == {"up", "draining", "lost"}


def test_a_method_of_the_clients_own_makes_no_series(api):
    caller = api.caller()
    for i in range(50):
        assert caller.ask(f"BREW{i}", "/healthz").status == 405
    text = caller.get("/metrics").body.decode()
    assert "BREW" not in text
    assert 'method="other"' in text
