from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hotpath.core.config import Address, ConfigError, dump, loads
from hotpath.core.serve import ServeConfig
from hotpath.core.serve.config import Flags


class Own(ServeConfig, frozen=True):
    """A service's configuration."""

    greeting: str = "hello"


def test_every_default_is_spelled_and_read_back():
    assert loads(dump(ServeConfig()), ServeConfig) == ServeConfig()


def test_it_binds_loopback_unless_told_otherwise():
    assert all(address.host == "127.0.0.1" for address in ServeConfig().listen)


def test_a_service_adds_fields_of_its_own(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("greeting: moin\nlisten: 127.0.0.1:1\nlimits: {body: off}\n")
    config = Flags(str(tmp_path / "own.yaml"), "unix:/run/x", "3").load(Own)
    assert (config.greeting, config.listen, config.workers) == ("moin", (Address(path="/run/x"),), 3)
    assert config.limits.body is None


@pytest.mark.parametrize(("flags", "said"), [
    ({"listen": "nowhere"}, "--listen: "), ({"workers": "0"}, "--workers: '0'"), ({"workers": 257}, "--workers: '257'"),
    ({"config": "/absent"}, "/absent: cannot be read"),
])
def test_a_flag_that_cannot_be_is_named(flags: dict[str, str], said: str):
    with pytest.raises(ConfigError) as wrong:
        Flags(**flags).load(ServeConfig)
    assert str(wrong.value).startswith(said)


def test_auto_is_a_worker_per_processor():
    assert 1 <= ServeConfig().worker_count <= 256
    assert msgspec.structs.replace(ServeConfig(), workers=7).worker_count == 7
