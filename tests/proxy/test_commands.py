"""The command line: checking a config, starting, and refusing with a reason."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from hotpath import __version__
from hotpath.core.config import Section
from hotpath.proxy.config import ProxyConfig
from tests.clients import fetch
from tests.proxies import Proxy, check, free_address

GOOD = "listen: 127.0.0.1:0\nroutes:\n  - match: {prefix: /}\n    respond: {body: hello}\n"

ROUTE = "routes:\n  - {match: {prefix: /}, respond: {status: 200}}\n"


def test_a_good_config_is_ok(tmp_path: Path) -> None:
    done = check(GOOD, "-t", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'proxy.yaml'}: ok" in done.stdout + done.stderr


# (name, config, line of the fault, a word of its path)
BAD = [
    ("unknown key", "lisen: 127.0.0.1:1\n" + ROUTE, 1, "lisen"),
    ("nested unknown key", ROUTE + "limits:\n  body: 1m\n  heads: 1k\n", 5, "heads"),
    ("duplicate key", ROUTE + "via: a\nvia: b\n", 4, "via"),
    ("not a number", ROUTE + "workers: many\n", 3, "workers"),
    ("not a duration", ROUTE + "timeouts: {head: fast}\n", 3, "head"),
    ("unknown upstream", "routes:\n  - match: {prefix: /}\n    upstream: nowhere\n", 3, "upstream"),
    ("unknown limit", "routes:\n  - {match: {prefix: /}, respond: {}, rate_limit: none}\n", 2, "rate_limit"),
    ("two outcomes", "routes:\n  - match: {prefix: /}\n    respond: {}\n    redirect: {to: /x}\n", 4, "routes"),
    ("no outcome", "routes:\n  - match: {prefix: /}\n", 2, "routes"),
    ("bad prefix", "routes:\n  - match: {prefix: api}\n    respond: {}\n", 2, "prefix"),
    ("bad regex", "routes:\n  - match: {regex: '('}\n    respond: {}\n", 2, "regex"),
    ("catastrophic regex", "routes:\n  - match: {regex: '^/(a+)+$'}\n    respond: {}\n", 2, "regex"),
    ("bad method", "routes:\n  - match: {prefix: /, methods: ['GE T']}\n    respond: {}\n", 2, "methods"),
    ("split header", 'routes:\n  - match: {prefix: /}\n    respond: {headers: {X-A: "b\\r\\nX-C: d"}}\n', 3, "X-A"),
    ("no servers", ROUTE + "upstreams:\n  u: {servers: []}\n", 4, "servers"),
    ("bad address", ROUTE + "upstreams:\n  u:\n    servers: [127.0.0.1:99999]\n", 5, "servers"),
    ("open admin", ROUTE + "admin: 0.0.0.0:9\n", 3, "admin"),
    ("dot segments", "routes:\n  - match: {path: /a/%2e./b}\n    respond: {}\n", 2, "dot segments"),
    ("bad escape", "routes:\n  - match: {prefix: /a%zz}\n    respond: {}\n", 2, "prefix"),
    ("limit twice", "rate_limits: {r: {rate: 1/s}}\nroutes:\n  - {respond: {}, rate_limit: [r, r]}\n", 3, "[1]"),
    ("root of nothing", "routes:\n  - match: {prefix: /}\n    static: {root: ''}\n", 3, "root"),
    ("no root", "routes:\n  - match: {prefix: /}\n    static: {root: /none/such}\n", 3, "root"),
    ("not yaml", "routes: [\n", 0, ""),
    ("tls", ROUTE + "listen: {address: 127.0.0.1:0, tls: {certificate: c, key: k}}\n", 3, "tls"),
    ("proxy protocol", ROUTE + "listen: {address: 127.0.0.1:0, proxy_protocol: true}\n", 3, "proxy_protocol"),
    ("active checks", ROUTE + "upstreams:\n  u:\n    servers: [127.0.0.1:1]\n    active: {status: 20}\n", 6, "active"),
]


@pytest.mark.parametrize(("text", "line", "word"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_config_is_named_by_file_line_and_path(tmp_path: Path, text: str, line: int, word: str) -> None:
    done = check(text, "-t", folder=tmp_path)
    assert done.returncode == 2
    file = re.escape(str(tmp_path / "proxy.yaml"))
    found = re.search(rf"{file}:(\d+): (.*)", done.stderr)
    assert found, done.stderr
    assert word in found[2]
    if line:
        assert int(found[1]) == line
    assert "Traceback" not in done.stderr


def test_a_bad_config_does_not_start(tmp_path: Path) -> None:
    done = check("lisen: 1\n", folder=tmp_path)
    assert done.returncode == 2
    assert "lisen" in done.stderr
    assert "ready:" not in done.stderr


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    done = check(GOOD, "-c", str(tmp_path / "none.yaml"), folder=tmp_path)
    assert done.returncode == 2
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "routes: []\n"])
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    done = check(text, "-t", folder=tmp_path)
    assert done.returncode == 2
    assert "says nothing" in done.stderr


def test_an_unknown_option_is_2(tmp_path: Path) -> None:
    assert check(GOOD, "--what", folder=tmp_path).returncode == 2


def test_help_names_every_option(tmp_path: Path) -> None:
    done = check(GOOD, "--help", folder=tmp_path)
    assert done.returncode == 0
    for option in ("-c", "-t", "-T", "--listen", "--workers"):
        assert option in done.stdout


def keys_of(kind: object) -> Iterator[str]:
    """Every key that may stand in a section, and in those below it."""
    if isinstance(kind, type) and issubclass(kind, Section):
        for name, below in get_type_hints(kind).items():
            if name in kind.__struct_fields__:
                yield name
                yield from keys_of(below)
    else:
        for part in get_args(kind):
            yield from keys_of(part)


def test_help_names_every_key_of_the_file_and_the_exit_statuses(tmp_path: Path) -> None:
    said = check(GOOD, "--help", folder=tmp_path).stdout
    keys = set(keys_of(ProxyConfig))
    assert len(keys) > 80
    assert keys - set(re.findall(r"\w+", said[said.index("FILE (YAML)"):])) == set()
    assert re.search(r"Exit\s+status: 0; 2 ", said)


def test_it_says_its_version(tmp_path: Path) -> None:
    done = check(GOOD, "--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"hotpath {__version__}\n")


def test_the_effective_config_is_a_config(tmp_path: Path) -> None:
    done = check(GOOD, "-T", folder=tmp_path)
    assert done.returncode == 0
    assert "request_line" in done.stdout
    assert check(done.stdout, "-t", folder=tmp_path).returncode == 0


def test_a_taken_address_is_2_and_named(tmp_path: Path) -> None:
    with Proxy({"routes": [{"match": {"prefix": "/"}, "respond": {"status": 200}}]}) as proxy:
        done = check(f"listen: {proxy.address}\n{ROUTE}", folder=tmp_path)
    assert done.returncode == 2
    assert proxy.address in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_ready_names_the_master_and_its_addresses(tmp_path: Path) -> None:
    more = free_address()
    pid_file = tmp_path / "proxy.pid"
    first = free_address()
    config = {
        "listen": [first, more],
        "pid_file": str(pid_file),
        "routes": [{"match": {"prefix": "/"}, "respond": {"body": "hello"}}],
    }
    with Proxy(config) as proxy:
        assert f"pid {proxy.process.pid}," in proxy.ready
        assert first in proxy.ready
        assert more in proxy.ready
        assert int(pid_file.read_text()) == proxy.process.pid
        assert fetch(first, "/").body == fetch(more, "/").body == b"hello"
        assert proxy.stop() == 0
        assert not pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=["TERM", "INT", "QUIT"])
def test_it_stops_with_0_and_leaves_nobody_behind(number: signal.Signals) -> None:
    with Proxy({"workers": 2, "routes": [{"match": {"prefix": "/"}, "respond": {"status": 200}}]}) as proxy:
        children = proxy.children()
        assert len(children) >= 2
        assert proxy.stop(number) == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_no_trace_reaches_the_log_of_a_quiet_run() -> None:
    with Proxy({"routes": [{"match": {"prefix": "/"}, "respond": {"status": 200}}]}) as proxy:
        assert fetch(proxy.address, "/").status == 200
        proxy.stop()
        assert not [line for line in proxy.stderr.lines if "Traceback" in line]
