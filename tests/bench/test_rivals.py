"""The configurations of the rivals are tried for real, as far as this machine has the rivals; nothing is timed."""
from pathlib import Path

import pytest

from bench import rivals
from bench.processes import free_ports
from bench.stage import stage
from hotpath.core.config import loads
from hotpath.proxy.config import ProxyConfig


def test_every_rival_does_the_same_work():
    names = rivals.available()
    if not names:
        pytest.skip("no nginx, no HAProxy, no hotpath-proxy")
    with stage(names) as on:
        for server in on.proxies.values():
            rivals.check(server, ["64", "1k", "64k"])


def test_a_server_that_only_pretends_is_found_before_it_is_timed(tmp_path):
    """The backend itself gives the right bodies, but it is no proxy."""
    if "nginx" not in rivals.available():
        pytest.skip("no nginx")
    port, other = free_ports(2)
    with rivals.backend(tmp_path, (port, other)) as pretender, pytest.raises(rivals.WrongAnswer, match="foreign host"):
        rivals.check(pretender, ["64"])


def test_our_configuration_is_valid_and_has_the_features_that_the_rivals_have():
    setup = rivals.Setup(Path("/scratch"), 20_001, (20_002, 20_003), workers=2)
    config = loads(rivals.HOTPATH.format(s=setup, host=rivals.HOST), ProxyConfig)
    assert config.workers == 2
    assert config.limits.connections == setup.connections
    assert config.log.access is not None
    assert config.routes[0].rate_limit
    assert len(config.upstreams["items"].servers) == 2
    assert config.via == "hotpath"
    assert config.forwarded == "x-forwarded"
