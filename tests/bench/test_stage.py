import pytest

from bench import processes, quota, rivals, wrk
from bench.stage import stage
from tests.waiting import is_alive, wait_for


def need_nginx():
    if "nginx" not in rivals.available():
        pytest.skip("no nginx")


def test_nothing_is_left_of_a_stage():
    need_nginx()
    with stage(["nginx"], workers=2) as on:
        pids = processes.tree(on.backend.pid) + processes.tree(on.proxies["nginx"].pid)
        assert len(pids) >= 3
    assert not on.folder.exists()
    assert not any(map(is_alive, pids))


def test_nothing_is_left_when_a_proxy_does_not_start(monkeypatch):
    need_nginx()
    started = []
    first = rivals.backend

    def backend(*arguments, **options):
        started.append(first(*arguments, **options))
        return started[0]

    monkeypatch.setattr(rivals, "backend", backend)
    monkeypatch.setitem(rivals.PROXIES, "broken", lambda setup: processes.Server(
        "broken", ["/bin/false"], setup.port, setup.folder / "out"))
    with pytest.raises(processes.StartError, match="broken: exited with 1"), stage(["broken"]):
        pass
    assert not is_alive(started[0].pid)
    assert not started[0].output.exists()


def test_proxies_under_a_quota_are_in_its_group_and_the_backend_is_not():
    need_nginx()
    if not quota.is_available():
        pytest.skip("no control groups, or not root")
    with stage(["nginx"], quota_cpus=0.4) as on:
        group = on.proxies["nginx"].group
        members = {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
        assert set(processes.tree(on.proxies["nginx"].pid)) <= members
        assert on.backend.pid not in members
    assert not group.exists()


@pytest.mark.parametrize(("forgets", "reused"), [(True, {"."}), (False, {".", "r"})], ids=["ours", "wrk alone"])
def test_each_connection_over_tls_begins_with_a_full_handshake(forgets, reused, monkeypatch):
    """nginx tells which sessions were taken up again; wrk alone does so for all but the first connections."""
    need_nginx()
    if not forgets:
        monkeypatch.setattr(wrk, "preloadable", lambda folder, name: "")
    monkeypatch.setattr(rivals, "NGINX", rivals.NGINX.replace("combined buffer=64k flush=1s", "reused").replace(
        "http {{", "http {{ log_format reused $ssl_session_reused;"))
    with stage(["nginx"], wiring=rivals.Wiring(tls=True)) as on:
        outcome = on.run("nginx", "64", wrk.Load(4, 1, closes=True))
        wait_for(lambda: len(on.log_path("nginx").read_text().split()) >= outcome.requests, "the log")
        told = on.log_path("nginx").read_text().split()
    assert outcome.errors == 0
    assert len(told) >= outcome.requests > 8
    assert set(told) == reused
