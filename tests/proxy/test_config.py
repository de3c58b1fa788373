import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.config import Address, ConfigError, Network, Rate, dump, loads
from hotpath.proxy.config import Listen, ProxyConfig, Server
from hotpath.proxy.config_route import HeaderEdits, HeaderMatch

SERVERS = "servers: [127.0.0.1:9001]"
UP = f"upstreams: {{u: {{{SERVERS}}}}}\n"


def config(text: str) -> ProxyConfig:
    return loads(text, ProxyConfig, file="proxy.yaml")


def failure(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(text)
    return str(caught.value).removeprefix("proxy.yaml:")


FULL = r"""
listen: [127.0.0.1:8080, {address: "[::1]:8080", backlog: 64}, unix:/tmp/p.sock]
admin: 127.0.0.1:8081
workers: 4
pid_file: /tmp/p.pid
user: nobody
trusted_proxies: [10.0.0.0/8, 192.0.2.1]
forwarded: both
via: off
limits: {connections: 100, connections_per_ip: 10, request_line: 4k, head: 16k, fields: 50, body: 0,
         requests_per_connection: 5}
timeouts: {head: 1s, body: 2s, send: 3s, idle: 4s, connect: 250ms, response: 5s, read: 6s, tunnel: 2h,
           request: 1m, drain: 7s}
log:
  access: {path: /tmp/a.log, format: '{client} {status}', buffer: 8k, flush: 2s}
  error: {path: /tmp/e.log, level: debug, format: json}
resolve: 30s
rate_limits:
  one: {rate: 100/s}
  two: {key: [client_ip, "header:X-User"], rate: 5/h, burst: 9, slots: 1024, status: 503,
        headers: always, dry_run: true}
upstreams:
  api:
    balance: hash:header:x-user
    servers: [127.0.0.1:9001, {address: "unix:/tmp/b.sock", weight: 3, max_connections: 8, backup: true}]
    keepalive: {idle: 8, timeout: 5s, requests: 100}
    passive: {failures: 0, window: 1s, eject: 2s}
    active: null
    retry: {attempts: 2, timeout: 3s, statuses: [502, 503]}
    host: api.internal:80
routes:
  - name: items
    match:
      host: [A.example, "*.b.example"]
      prefix: /api/
      methods: [GET, POST]
      headers: {x-tier: gold, x-user: {regex: '^\w+$'}, x-any: {present: true}}
    upstream: api
    strip_prefix: /api
    add_prefix: /v1
    rate_limit: [one, two]
    concurrency: 7
    request_headers: {set: {x-a: "1"}, add: {x-b: b}, remove: [x-c]}
    response_headers: {set: {}, add: {}, remove: [server]}
    timeouts: {read: 1h}
    limits: {body: 1g}
  - match: {path: /exact}
    respond: {status: 404, body: gone, headers: {x-y: z}}
  - match: {regex: '^/u/\d+$'}
    redirect: {to: "https://x{path}", status: 301}
  - static: {root: /, index: i.html, fallback: f.html}
"""


def test_the_whole_schema_is_read() -> None:
    c = config(FULL)
    assert [str(listen.address) for listen in c.listen] == ["127.0.0.1:8080", "[::1]:8080", "unix:/tmp/p.sock"]
    assert c.admin is not None
    assert c.admin.address == Address("127.0.0.1", 8081)
    assert c.trusted_proxies == (Network(b"\x0a\0\0\0", 8), Network(b"\xc0\0\x02\x01", 32))
    assert (c.workers, c.via, c.forwarded) == (4, None, "both")
    assert c.rate_limits["two"].rate == Rate(5, 3600.0)
    assert c.rate_limits["two"].key == ("client_ip", "header:X-User")
    api = c.upstreams["api"]
    assert api.hash_key == "header:x-user"
    assert api.servers == (
        Server(address=Address("127.0.0.1", 9001)),
        Server(address=Address(path="/tmp/b.sock"), weight=3, max_connections=8, backup=True),
    )
    assert [route.name for route in c.routes] == ["items", "route-2", "route-3", "route-4"]
    items = c.routes[0]
    assert items.match.host == ("a.example", "*.b.example")
    assert items.match.headers == {
        "x-tier": HeaderMatch(value="gold"), "x-user": HeaderMatch(regex=r"^\w+$"), "x-any": HeaderMatch(present=True),
    }
    assert items.request_headers == HeaderEdits(set={"x-a": "1"}, add={"x-b": "b"}, remove=("x-c",))
    assert items.rate_limit == ("one", "two")


def test_the_defaults_are_those_of_the_contract() -> None:
    c = config(f"""
    rate_limits: {{r: {{rate: 1/s}}}}
    upstreams: {{u: {{{SERVERS}}}}}
    routes: [{{upstream: u}}]
    """)
    assert c == config("""
    listen: {address: 127.0.0.1:8080, tls: null, proxy_protocol: false, backlog: 1024}
    admin: null
    workers: auto
    pid_file: null
    user: null
    trusted_proxies: []
    forwarded: x-forwarded
    via: hotpath
    limits: {connections: 16384, connections_per_ip: 0, request_line: 8k, head: 32k, fields: 100, body: 16m,
              requests_per_connection: 0}
    timeouts: {head: 10s, body: 30s, send: 30s, idle: 75s, connect: 2s, response: 60s, read: 60s,
               tunnel: 1h, request: 0s,
                drain: 30s}
    log:
      access: {path: "-", format: combined, buffer: 64k, flush: 1s}
      error: {path: "-", level: info, format: text}
    resolve: 30s
    rate_limits:
      r: {key: client_ip, rate: 1/s, burst: 0, slots: 65536, status: 429, headers: rejected, dry_run: false}
    upstreams:
      u:
        balance: round_robin
        servers: [{address: 127.0.0.1:9001, weight: 1, max_connections: 0, backup: false}]
        keepalive: {idle: 64, timeout: 30s, requests: 0}
        passive: {failures: 3, window: 10s, eject: 10s}
        active: null
        retry: {attempts: 1, timeout: 10s, statuses: []}
        host: preserve
    routes:
      - name: route-1
        upstream: u
        concurrency: 0
        request_headers: {set: {}, add: {}, remove: []}
        response_headers: {set: {}, add: {}, remove: []}
        timeouts: {}
    """)


def test_the_defaults_of_what_is_optional_are_those_of_the_contract() -> None:
    c = config("routes: [{respond: {}}, {redirect: {to: /x}}, {static: {root: /}}]")
    assert c == config("""
    routes:
      - respond: {status: 200, body: "", headers: {}}
      - redirect: {to: /x, status: 308}
      - static: {root: /, index: index.html, fallback: null}
    """)


@pytest.mark.parametrize("listen", ["a:1", "[a:1]", "{address: a:1}", "[{address: a:1}]"])
def test_every_spelling_of_listen_has_one_shape(listen: str) -> None:
    assert config(f"listen: {listen}").listen == (Listen(address=Address("a", 1)),)


def test_the_access_log_can_be_off() -> None:
    assert config("log: {access: off}").log.access is None


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("listen: {address: a:1, proxy_protocol: true}", "1: listen.proxy_protocol", "needs trusted_proxies"),
        ("listen: {address: a:1, http2: true}", "1: listen.http2", "needs tls"),
        ("listen: {address: a:1, tls: {certificate: /nowhere, key: /nowhere}}", "1: listen.tls.certificate",
         "is not a file"),
        ("upstreams: {u: {servers: [a:1], active: {interval: 0s}}}", "1: upstreams.u.active.interval",
         "would check nothing"),
        ("upstreams: {u: {servers: [a:1], active: {status: 99}}}", "1: upstreams.u.active.status", "200-399"),
        ("upstreams: {u: {servers: [a:1], active: {status: 300-200}}}", "1: upstreams.u.active.status", "200-399"),
        ("routes: [{respond: {}, gzip: {types: [html]}}]", "1: routes[0].gzip.types[0]", "text/html"),
        ("routes: [{respond: {}, gzip: {}}]", "1: routes[0].gzip", "only beside upstream"),
        ("routes: [{upstream: u, gzip: {}, response_headers: {set: {content-encoding: br}}}]",
         "1: routes[0].response_headers.set.content-encoding", "written by gzip"),
    ],
)
def test_what_cannot_work_is_refused(text: str, path: str, part: str) -> None:
    message = failure(text)
    assert message.startswith(f"{path}: ")
    assert part in message


def test_http2_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("c", "k"):
        (tmp_path / name).touch()
    text = f"listen: {{address: a:1, http2: true, tls: {{certificate: {tmp_path}/c, key: {tmp_path}/k}}}}"
    assert config(text).listen[0].http2
    monkeypatch.setattr("hotpath.proxy.config.find_spec", lambda name: None)
    assert "pip install 'hotpath[http2]'" in failure(text)


@pytest.mark.parametrize(("status", "good", "bad"), [
    ("200-399", (200, 399), (199, 400, 503)), (204, (204,), (200, 205)), ("'200-299,404'", (200, 299, 404), (300, 403)),
])
def test_which_answers_say_that_a_server_is_well(status: object, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    given = config(f"upstreams: {{u: {{servers: [a:1], active: {{status: {status}}}}}}}")
    active = given.upstreams["u"].active
    assert active is not None
    assert all(active.accepts(one) for one in good)
    assert not any(active.accepts(one) for one in bad)


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("listen: {address: a:1, tls: {certificate: /none, key: /none}}", "1: listen.tls.certificate", "not a file"),
        ("listen: [a:1, b:1, a:1]", "1: listen[2]", "a:1 is listened on twice"),
        ("listen: [unix:/a, unix:/a]", "1: listen[1]", "unix:/a is listened on twice"),
        ("listen: a:1\nadmin: a:1", "2: admin", "needs a token_file"),
        ("listen: localhost:1\nadmin: localhost:1", "2: admin", "an address of listen already"),
        ("admin: 0.0.0.0:1", "1: admin", "needs a token_file"),
        ("admin: {address: 127.0.0.1:1, token_file: /none}", "1: admin.token_file", "not a file"),
        ("workers: 257", "1: workers", "from 1 to 256 or auto"),
        ("trusted_proxies: [10.0.0.1/8]", "1: trusted_proxies[0]", "has host bits set"),
        ("user: no-such-user", "1: user", "no user 'no-such-user'"),
        ("via: a b", "1: via", "a token"),
        ("limits: {head: 1m}", "1: limits.head", "256 to 64k"),
        ("limits: {request_line: 8}", "1: limits.request_line", "64 to 64k"),
        ("limits: {connections: 0}", "1: limits.connections", "from 1"),
        ("log: {error: {level: warn}}", "1: log.error.level", "warning"),
        ("rate_limits: {r: {}}", "1: rate_limits.r", "rate is missing"),
        ("rate_limits: {r: {rate: 1/s, key: []}}", "1: rate_limits.r.key", "from 1 to 16"),
        ("rate_limits: {r: {rate: 1/s, key: query:x}}", "1: rate_limits.r.key", "client_ip, host, route"),
        ("rate_limits: {r: {rate: 1/s, status: 200}}", "1: rate_limits.r.status", "from 400 to 599"),
        ("upstreams: {u: {}}", "1: upstreams.u", "servers is missing"),
        ("upstreams: {u: {servers: a:1}}", "1: upstreams.u.servers", "a list"),
        ("upstreams: {u: {servers: [a:1, {address: b:1, weight: 0}]}}", "1: upstreams.u.servers[1].weight",
         "from 1 to 1000"),
        ("upstreams: {u: {servers: [a:1, {address: a:1}]}}", "1: upstreams.u.servers[1].address", "listed twice"),
        ("upstreams: {u: {servers: [a:0]}}", "1: upstreams.u.servers[0]", "port 0"),
        ("upstreams: {u: {servers: [{address: a:1, backup: true}]}}", "1: upstreams.u.servers", "all are backups"),
        ("upstreams: {u: {servers: [a:1], retry: {statuses: [200]}}}", "1: upstreams.u.retry.statuses[0]", "from 400"),
        ("upstreams: {u: {servers: [a:1], host: a b}}", "1: upstreams.u.host", "a host"),
        ("routes:\n  - match: {path: /}", "2: routes[0]", "exactly one of upstream, respond, redirect, static"),
        (UP + "routes:\n  - upstream: u\n    respond: {}", "4: routes[0].respond", "beside upstream"),
        (UP + "routes: [{upstream: v}]", "2: routes[0].upstream", "no upstream 'v'; allowed: u"),
        (UP + "routes: [{upstream: u, rate_limit: r}]", "2: routes[0].rate_limit", "no rate limit 'r'"),
        ("rate_limits: {r: {rate: 1/s}}\nroutes: [{respond: {}, rate_limit: [r, q]}]", "2: routes[0].rate_limit[1]",
         "allowed: r"),
        ("routes: [{name: a, respond: {}}, {name: a, respond: {}}]", "1: routes[1].name", "two routes"),
        ("routes: [{respond: {}, match: {path: /a, prefix: /b}}]", "1: routes[0].match.prefix",
         "one of path, prefix, regex"),
        ("routes: [{respond: {}, match: {prefix: api}}]", "1: routes[0].match.prefix", "starts with /"),
        ("routes: [{respond: {}, match: {path: '/a?b'}}]", "1: routes[0].match.path", "no ?"),
        ("routes: [{respond: {}, match: {regex: '('}}]", "1: routes[0].match.regex", "does not compile"),
        ("routes: [{respond: {}, match: {regex: '(a+)+'}}]", "1: routes[0].match.regex", "for ever"),
        ("routes: [{respond: {}, match: {methods: [GET, get]}}]", "1: routes[0].match.methods[1]", "allowed: GET"),
        ("routes: [{respond: {}, match: {host: 'a:80'}}]", "1: routes[0].match.host", "without a port"),
        ("routes: [{respond: {}, match: {headers: {a b: c}}}]", "1: routes[0].match.headers.a b", "a token"),
        ("routes: [{respond: {}, match: {headers: {a: {}}}}]", "1: routes[0].match.headers.a", "exactly one of"),
        ("routes: [{respond: {}, match: {headers: {a: {regex: b, present: true}}}}]", "1: routes[0].match.headers.a",
         "exactly"),
        ("routes: [{respond: {}, match: {headers: {a: b, A: c}}}]", "1: routes[0].match.headers.A",
         "stands here already"),
        ("routes: [{respond: {}, strip_prefix: a}]", "1: routes[0].strip_prefix", "starts with /"),
        ('routes: [{respond: {}, request_headers: {set: {a: "b\\r\\nc"}}}]',
         "1: routes[0].request_headers.set.a", "control"),
        ("routes: [{respond: {}, request_headers: {set: {a: 1}}}]", "1: routes[0].request_headers.set.a",
         'in quotes it is: "1"'),
        ("routes: [{respond: {}, request_headers: {remove: [a, Host]}}]", "1: routes[0].request_headers.remove[1]",
         "itself"),
        ("routes: [{respond: {}, response_headers: {add: {content-length: '1'}}}]",
         "1: routes[0].response_headers.add.content-length", "itself"),
        ("routes: [{respond: {}, response_headers: {set: {a: b, A: c}}}]", "1: routes[0].response_headers.set.A",
         "already"),
        ("routes: [{respond: {headers: {transfer-encoding: chunked}}}]",
         "1: routes[0].respond.headers.transfer-encoding", "itself"),
        ("routes: [{respond: {status: 100}}]", "1: routes[0].respond.status", "from 200 to 599"),
        ("routes: [{respond: {status: 204, body: x}}]", "1: routes[0].respond.body", "no body"),
        ("routes: [{redirect: {to: 'https://x{uri}'}}]", "1: routes[0].redirect.to", "{uri} is no field"),
        ("routes: [{redirect: {to: /, status: 200}}]", "1: routes[0].redirect.status", "308"),
        ("routes: [{static: {root: /none}}]", "1: routes[0].static.root", "not a directory"),
        ("routes: [{static: {root: /, fallback: ../x}}]", "1: routes[0].static.fallback", "below root"),
        ("routes: [{static: {root: /, index: /x}}]", "1: routes[0].static.index", "below root"),
        ("routes: [{static: {root: /}, bogus: 1}]", "1: routes[0].bogus", "unknown key"),
    ],
)
def test_what_cannot_work_is_refused_by_path(text: str, path: str, part: str) -> None:
    message = failure(text)
    assert message.startswith(f"{path}: ")
    assert part in message


def test_an_open_admin_address_is_allowed_with_a_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    admin = config(f"admin: {{address: 0.0.0.0:1, token_file: {token}}}").admin
    assert admin is not None
    assert admin.token_file == str(token)


def test_port_0_may_be_listened_on_twice() -> None:
    assert len(config("listen: [127.0.0.1:0, 127.0.0.1:0]").listen) == 2


def test_auto_is_one_worker_per_cpu_we_may_use() -> None:
    assert config("workers: auto").worker_count == min(256, len(os.sched_getaffinity(0)))
    assert config("workers: 3").worker_count == 3


def test_a_route_overrides_what_it_names_and_keeps_the_rest() -> None:
    c = config("timeouts: {body: 1s}\nroutes: [{respond: {}, timeouts: {read: 0s}, limits: {body: 1}}, {respond: {}}]")
    first, second = (c.timeouts_of(route) for route in c.routes)
    assert (first.body, first.read, first.send) == (1.0, 0.0, 30.0)
    assert second == c.timeouts
    assert [c.body_limit_of(route) for route in c.routes] == [1, 16 * 1024**2]


def test_the_effective_config_loads_as_an_equal() -> None:
    assert config(dump(config(FULL))) == config(FULL)
    assert config(dump(ProxyConfig())) == ProxyConfig()


LINES = [line for line in FULL.splitlines() if line]
NOISE = st.text(st.sampled_from("{}[]:,-&*'\"\\ \n\t$#x0"), max_size=3)


@given(st.integers(0, len(LINES) - 1), st.integers(0, 120), NOISE)
def test_a_damaged_file_is_a_config_or_a_config_error(line: int, column: int, noise: str) -> None:
    damaged = list(LINES)
    damaged[line] = damaged[line][:column] + noise + damaged[line][column + 1:]
    with contextlib.suppress(ConfigError):
        config("\n".join(damaged))
