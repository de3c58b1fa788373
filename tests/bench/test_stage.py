import os

import pytest

from bench import processes, rivals
from bench.stage import stage
from tests.waiting import is_alive


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


def test_pinned_proxies_share_no_cpu_with_the_backend():
    need_nginx()
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    with stage(["nginx"], pinned=True) as on:
        proxy_cpus = [os.sched_getaffinity(pid) for pid in processes.tree(on.proxies["nginx"].pid)]
        backend_cpus = [os.sched_getaffinity(pid) for pid in processes.tree(on.backend.pid)]
        assert not set.union(*proxy_cpus) & set.union(*backend_cpus)
        assert on.load_cpus == backend_cpus[0]
