"""The configurations of the rivals are tried for real, as far as this machine has the rivals; nothing is timed."""
from pathlib import Path

import pytest

from bench import answers, rivals
from bench.processes import free_ports
from bench.stage import stage
from hotpath.core.config import loads
from hotpath.proxy.config import ProxyConfig


def test_every_rival_does_the_same_work():
    names = rivals.available()
    if names == ["hotpath"]:
        pytest.skip("no nginx, no HAProxy")
    with stage(names) as on:
        on.check(["64", "1k", "64k"])


def test_a_server_that_only_pretends_is_found_before_it_is_timed(tmp_path):
    """The backend itself gives the right bodies, but it is no proxy."""
    if "nginx" not in rivals.available():
        pytest.skip("no nginx")
    port, other = free_ports(2)
    with rivals.backend(tmp_path, (port, other)) as pretender, pytest.raises(rivals.WrongAnswer, match="foreign host"):
        answers.check(pretender, ["64"])


def test_our_configuration_is_valid_and_has_the_features_that_the_rivals_have():
    setup = rivals.Setup(Path("/scratch"), 20_001, ("127.0.0.1:20002", "unix:/scratch/b.sock"), workers=2)
    config = loads(rivals.hotpath_text(setup), ProxyConfig)
    assert config.workers == 2
    assert config.limits.connections == setup.connections
    assert config.log.access is not None
    assert config.routes[0].rate_limit
    assert len(config.upstreams["items"].servers) == 2
    assert config.via == "hotpath"
    assert config.forwarded == "x-forwarded"


def test_wirings_change_our_configuration(tmp_path):
    folder = tmp_path / "hotpath"
    wiring = rivals.Wiring(tls=True, keeps=False)
    rivals.make_certificate(tmp_path)
    setup = rivals.Setup(folder, 20_001, ("127.0.0.1:20002", "127.0.0.1:20003"), wiring=wiring)
    config = loads(rivals.hotpath_text(setup), ProxyConfig)
    assert config.listen[0].tls is not None
    assert config.upstreams["items"].keepalive.idle == 0


def test_a_wiring_that_is_not_as_it_should_be_is_found():
    if "nginx" not in rivals.available():
        pytest.skip("no nginx")
    with stage(["nginx"]) as on:
        server = on.proxies["nginx"]
        with pytest.raises(rivals.WrongAnswer, match="unix sockets"):
            answers.check(server, [], rivals.Wiring(unix=True))
        with pytest.raises(rivals.WrongAnswer, match="upstream connection"):
            answers.check(server, [], rivals.Wiring(keeps=False))


def test_builds_without_debug_options_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "BUILT", tmp_path)
    assert rivals.without_debug("nginx") == rivals.binary("nginx")
    assert rivals.debians() == []
    (tmp_path / "nginx").touch()
    assert rivals.without_debug("nginx") == str(tmp_path / "nginx")
