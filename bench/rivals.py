"""nginx, HAProxy and hotpath-proxy, set up to do the same work.

All route on host and path prefix, balance two servers round robin over kept-alive HTTP/1.1 connections, add the same
forwarding fields, account each client against a rate limit that is never reached, and keep an access log in combined
format. Where a rival has to be told to be fast, it is told so; each such line says why.
"""
from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .machine import first_line
from .processes import Server

HOST = "bench.test"
FILE_SIZES = {"64k": 64 * 1024, "1m": 1024 * 1024, "10m": 10 * 1024 * 1024}
BODIES = {"64": b"x" * 64, "1k": b"x" * 1024, **{name: b"x" * size for name, size in FILE_SIZES.items()}}
BUFFER_BYTES = 128 * 1024       # what hotpath may hold of one body; nginx is given as much


class WrongAnswer(Exception):
    """A server under test does not do the work that is to be timed."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every proxy is told."""

    folder: Path                # its own scratch folder
    port: int
    backends: tuple[int, int]
    workers: int = 1
    connections: int = 4096    # client connections it must be able to hold, in all


def binary(name: str) -> str:
    """Where a server's binary is; /usr/sbin holds them, off a plain user's path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") or name


# --- the backend ------------------------------------------------------------------------------------------------------

BACKEND = """
worker_processes 1;
daemon off;
pid {folder}/backend.pid;
error_log {folder}/backend.error.log;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;             # longer than any proxy keeps an idle connection, else sporadic 502
    sendfile on;
    open_file_cache max=16 inactive=1h;
    server {{
        listen 127.0.0.1:{ports[0]} backlog=4096;
        listen 127.0.0.1:{ports[1]} backlog=4096;
        default_type text/plain;
        location = /api/64 {{ return 200 {small}; }}
        location = /api/1k {{ return 200 {page}; }}
        location = /api/who {{ return 200 "$server_port $connection_requests $http_x_forwarded_for $http_via"; }}
        location /api/ {{ alias {folder}/files/; }}
    }}
}}
"""


def backend(folder: Path, ports: tuple[int, int], *, cpus: set[int] | None = None) -> Server:
    """One nginx process behind both ports: far cheaper than any proxy in front of it."""
    files = folder / "files"
    files.mkdir()
    for name in FILE_SIZES:
        (files / name).write_bytes(BODIES[name])
    config = folder / "backend.conf"
    small, page = BODIES["64"].decode(), BODIES["1k"].decode()
    config.write_text(BACKEND.format(folder=folder, ports=ports, small=small, page=page))
    argv = [binary("nginx"), "-p", str(folder), "-c", str(config)]
    return Server("backend", argv, ports[0], folder / "backend.out", cpus)


# --- nginx ------------------------------------------------------------------------------------------------------------

NGINX = """
worker_processes {s.workers};
worker_rlimit_nofile 65536;
daemon off;
pid {s.folder}/nginx.pid;
error_log {s.folder}/nginx.error.log;
events {{ worker_connections {per_worker}; }}
http {{
    access_log {s.folder}/access.log combined buffer=64k flush=1s;
    client_body_temp_path {s.folder}/client_body;
    proxy_temp_path {s.folder}/proxy_temp;
    fastcgi_temp_path {s.folder}/fastcgi_temp;
    uwsgi_temp_path {s.folder}/uwsgi_temp;
    scgi_temp_path {s.folder}/scgi_temp;
    keepalive_requests 1000000000;          # the default 1000 closes busy clients
    keepalive_timeout 75s;
    limit_req_zone $binary_remote_addr zone=never:10m rate=1000000r/s;
    upstream items {{
        server 127.0.0.1:{s.backends[0]};
        server 127.0.0.1:{s.backends[1]};
        keepalive 128;                      # off by default before 1.29.7
        keepalive_requests 1000000000;
        keepalive_timeout 60s;
    }}
    server {{ listen 127.0.0.1:{s.port} default_server backlog=4096; server_name _; root {s.folder}/empty; }}
    server {{
        listen 127.0.0.1:{s.port};
        server_name {host};
        location / {{ root {s.folder}/empty; }}
        location /api/ {{
            limit_req zone=never burst=1000000 nodelay;
            proxy_pass http://items;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header Via "1.1 nginx";
            proxy_buffers 8 {buffer};
            proxy_busy_buffers_size {busy};
            proxy_max_temp_file_size 0;     # a body goes through memory, never through the disk
        }}
    }}
}}
"""


def nginx_from(path: str) -> Callable[[Setup], Server]:
    """How to start that nginx."""
    def start(setup: Setup) -> Server:
        (setup.folder / "empty").mkdir()
        config = setup.folder / "nginx.conf"
        # A client needs a second slot for its upstream connection, but only while a request is in flight.
        per_worker = setup.connections // setup.workers + 1024
        config.write_text(NGINX.format(s=setup, host=HOST, per_worker=per_worker, buffer=BUFFER_BYTES // 8,
                                       busy=BUFFER_BYTES // 2))
        argv = [binary(path), "-p", str(setup.folder), "-c", str(config), "-e", str(setup.folder / "nginx.error.log")]
        return Server("nginx", argv, setup.port, setup.folder / "nginx.out")
    return start


# --- HAProxy ----------------------------------------------------------------------------------------------------------

# HAProxy writes no files: its log goes to a socket, line by line to stdout, or to a ring in mapped memory. The ring
# costs no system call per line, so that is what it gets. `http-reuse always`, because the default sends the first
# request of a client connection over a fresh upstream connection.
HAPROXY = """
global
    nbthread {s.workers}
    maxconn {s.connections}
    log ring@access format raw local0
ring access
    format raw
    size 4194304
    maxlen 4096
    backing-file {s.folder}/access.ring
defaults
    mode http
    log global
    timeout client 75s
    timeout server 60s
    timeout connect 2s
    timeout http-keep-alive 75s
    maxconn {s.connections}
frontend bench
    bind 127.0.0.1:{s.port} backlog 4096
    capture request header Referer len 128
    capture request header User-Agent len 128
    log-format '%ci - - [%t] %{{+Q}}r %ST %B "%[capture.req.hdr(0)]" "%[capture.req.hdr(1)]"'
    stick-table type ip size 64k expire 60s store http_req_rate(10s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
    use_backend items if {{ hdr(host) -i {host} }} {{ path_beg /api/ }}
    default_backend nothing
backend items
    balance roundrobin
    http-reuse always
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Via "1.1 haproxy"
    server a 127.0.0.1:{s.backends[0]}
    server b 127.0.0.1:{s.backends[1]}
backend nothing
    http-request return status 404
"""


def haproxy(setup: Setup) -> Server:
    """HAProxy with a thread per worker."""
    config = setup.folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(s=setup, host=HOST))
    return Server("haproxy", [binary("haproxy"), "-db", "-f", str(config)], setup.port, setup.folder / "haproxy.out")


# --- hotpath-proxy ----------------------------------------------------------------------------------------------------

HOTPATH = """
listen: {{address: 127.0.0.1:{s.port}, backlog: 4096}}
workers: {s.workers}
limits: {{connections: {s.connections}}}
log:
  access: {{path: {s.folder}/access.log, format: combined, buffer: 64k, flush: 1s}}
  error: {{path: {s.folder}/hotpath.error.log}}
rate_limits:
  never: {{key: client_ip, rate: 1000000/s, burst: 1000000}}
upstreams:
  items:
    balance: round_robin
    servers: [127.0.0.1:{s.backends[0]}, 127.0.0.1:{s.backends[1]}]
    keepalive: {{idle: 128, timeout: 60s}}
routes:
  - name: items
    match: {{host: {host}, prefix: /api/}}
    upstream: items
    rate_limit: never
"""


def hotpath(setup: Setup) -> Server:
    """Our proxy, from this tree."""
    config = setup.folder / "hotpath.yaml"
    config.write_text(HOTPATH.format(s=setup, host=HOST))
    argv = [sys.executable, "-P", "-m", "hotpath.proxy", "-c", str(config)]
    return Server("hotpath", argv, setup.port, setup.folder / "hotpath.out")


# --- who is here ------------------------------------------------------------------------------------------------------

def built_nginx() -> Path:
    """Where bench/rivals.sh puts an nginx without --with-debug."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hotpath-bench" / "nginx"


PROXIES: dict[str, Callable[[Setup], Server]] = {
    "nginx": nginx_from("nginx"),
    "nginx-nodebug": nginx_from(str(built_nginx())),
    "haproxy": haproxy,
    "hotpath": hotpath,
}
HAS_LOG_FILE = ("nginx", "nginx-nodebug", "hotpath")


def available() -> list[str]:
    """The proxies that this machine can run; a missing one is left out of the tables."""
    found = []
    if "version" in first_line(binary("nginx"), "-v"):
        found.append("nginx")
    if built_nginx().exists():
        found.append("nginx-nodebug")
    if "version" in first_line(binary("haproxy"), "-v"):
        found.append("haproxy")
    usable = [sys.executable, "-P", "-m", "hotpath.proxy", "--help"]
    if subprocess.run(usable, capture_output=True, check=False).returncode == 0:
        found.append("hotpath")
    return found


def versions(names: list[str]) -> str:
    """Version of each of `names`, and what one must know of how it was built."""
    said = {
        "nginx": f"{first_line(binary('nginx'), '-v').removeprefix('nginx version: ')} (Debian's, built --with-debug)",
        "nginx-nodebug": "nginx-nodebug: the same sources built by bench/rivals.sh, without --with-debug",
        "haproxy": " ".join(first_line(binary("haproxy"), "-v").split()[:3]),
        "hotpath": "hotpath of this commit",
    }
    return ", ".join([said[name] for name in names] + [" ".join(first_line("wrk", "-v").split()[:2])])


# --- do they do the work? ---------------------------------------------------------------------------------------------

def get(port: int, path: str, *, host: str = HOST) -> tuple[int, bytes]:
    """Status and body of one GET on a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()


def check(server: Server, bodies: list[str]) -> None:
    """Raise WrongAnswer unless it answers, routes, balances, forwards and keeps upstream connections as it should."""
    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise WrongAnswer(f"{server.name}: {what}: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")

    for name in bodies:
        status, body = get(server.port, f"/api/{name}")
        expect(f"status of {name}", status, 200)
        if body != BODIES[name]:
            raise WrongAnswer(f"{server.name}: body of {name} differs, {len(body)} bytes")
    expect("status for a foreign host", get(server.port, "/api/64", host="other.test")[0], 404)
    expect("status for a foreign path", get(server.port, "/other")[0], 404)
    seen = [get(server.port, "/api/who") for _ in range(64)]
    expect("status of who", {status for status, _ in seen}, {200})
    ports, counts, forwarded, via = zip(*(body.decode().split(maxsplit=3) for _, body in seen), strict=True)
    expect("servers used", len(set(ports)), 2)
    expect("balance", abs(ports.count(ports[0]) - 32) <= 2, True)
    expect("requests on a kept-alive upstream connection > 1", max(map(int, counts)) > 1, True)
    expect("X-Forwarded-For", set(forwarded), {"127.0.0.1"})
    expect("Via", all(field.startswith("1.1 ") for field in via), True)
