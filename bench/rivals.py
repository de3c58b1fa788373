"""nginx, HAProxy and hotpath-proxy, set up to do the same work.

All route on host and path prefix, balance two servers round robin over kept-alive HTTP/1.1 connections, add the same
forwarding fields, account each client against a rate limit that is never reached, and keep an access log in combined
format. A `Wiring` varies how they are joined to clients and servers, for all alike. Where a rival has to be told to be
fast, it is told so; each such line says why.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .machine import first_line
from .processes import Server, StartError

HOST = "bench.test"
FILE_SIZES = {"64k": 64 * 1024, "1m": 1024 * 1024, "10m": 10 * 1024 * 1024}
BODIES = {"64": b"x" * 64, "1k": b"x" * 1024, **{name: b"x" * size for name, size in FILE_SIZES.items()}}
BUFFER_BYTES = 128 * 1024       # what hotpath may hold of one body; nginx is given as much


class WrongAnswer(Exception):
    """A server under test does not do the work that is to be timed."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a proxy is joined to its clients and to its servers."""

    tls: bool = False           # clients speak TLS to it
    unix: bool = False          # it reaches its servers over unix sockets
    keeps: bool = True          # it keeps the connections to its servers, or makes one for each request


PLAIN = Wiring()

@dataclass(frozen=True, slots=True)
class Setup:
    """What every proxy is told."""

    folder: Path                # its own scratch folder
    port: int
    backends: tuple[str, str]   # HOST:PORT or unix:PATH
    workers: int = 1
    connections: int = 4096    # client connections it must be able to hold, in all
    wiring: Wiring = PLAIN

    @property
    def scheme(self) -> str:
        """Of its URLs."""
        return "https" if self.wiring.tls else "http"

    @property
    def certificate(self) -> Path:
        """Beside the folders of all proxies, in this and two more files: `.key`, and both as HAProxy wants them."""
        return self.folder.parent / "certificate"


# Idle connections kept to the servers, of each worker: as many as the most clients of any measurement, or a crowd would
# compare who closes what.
KEPT = 1024


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
        listen unix:{folder}/a.sock backlog=4096;
        listen unix:{folder}/b.sock backlog=4096;
        default_type text/plain;
        location = /api/64 {{ return 200 {small}; }}
        location = /api/1k {{ return 200 {page}; }}
        location = /api/who {{
            return 200 "$server_addr:$server_port $connection_requests $http_x_forwarded_for $http_via";
        }}
        location /api/ {{ alias {folder}/files/; }}
    }}
}}
"""


def backend(folder: Path, ports: tuple[int, int]) -> Server:
    """One nginx process behind both ports and both sockets: cheaper than any proxy in front of it."""
    files = folder / "files"
    files.mkdir()
    for name in FILE_SIZES:
        (files / name).write_bytes(BODIES[name])
    config = folder / "backend.conf"
    small, page = BODIES["64"].decode(), BODIES["1k"].decode()
    config.write_text(BACKEND.format(folder=folder, ports=ports, small=small, page=page))
    argv = [binary("nginx"), "-p", str(folder), "-c", str(config)]
    return Server("backend", argv, ports[0], folder / "backend.out")


def addresses(folder: Path, ports: tuple[int, int], wiring: Wiring) -> tuple[str, str]:
    """Where the backend of that folder is reached."""
    if wiring.unix:
        return f"unix:{folder}/a.sock", f"unix:{folder}/b.sock"
    return f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"


def make_certificate(folder: Path) -> None:
    """A key on P-256 and the certificate for it, as `Setup.certificate` says; StartError without openssl."""
    certificate, key = folder / "certificate", folder / "certificate.key"
    argv = [binary("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "7", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1",
            "-out", str(certificate), "-keyout", str(key)]
    try:
        subprocess.run(argv, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise StartError("TLS needs openssl to make a certificate") from None
    except subprocess.CalledProcessError as error:
        raise StartError(f"openssl: {error.stderr}") from None
    (folder / "certificate.both").write_text(certificate.read_text() + key.read_text())


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
{tls}    upstream items {{
        server {s.backends[0]};
        server {s.backends[1]};
{kept}    }}
    server {{ listen 127.0.0.1:{s.port}{ssl} default_server backlog=4096; server_name _; root {s.folder}/empty; }}
    server {{
        listen 127.0.0.1:{s.port}{ssl};
        server_name {host};
        location / {{ root {s.folder}/empty; }}
        location /api/ {{
            limit_req zone=never burst=1000000 nodelay;
            proxy_pass http://items;
{reused}            proxy_set_header Host $host;
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
NGINX_TLS = """    ssl_certificate {s.certificate};
    ssl_certificate_key {s.certificate}.key;
    ssl_protocols TLSv1.3;                  # before 1.23.4 its default stops at 1.2
"""
# Without these it speaks HTTP/1.0 to its servers and closes after each answer, which is its default before 1.29.7.
NGINX_KEPT = """        keepalive {kept};
        keepalive_requests 1000000000;
        keepalive_timeout 60s;
"""
NGINX_REUSED = """            proxy_http_version 1.1;
            proxy_set_header Connection "";
"""


def nginx_from(path: str) -> Callable[[Setup], Server]:
    """How to start that nginx."""
    def start(setup: Setup) -> Server:
        (setup.folder / "empty").mkdir()
        config = setup.folder / "nginx.conf"
        # A client needs a second slot for its upstream connection, but only while a request is in flight.
        per_worker, wiring = setup.connections // setup.workers + KEPT, setup.wiring
        config.write_text(NGINX.format(
            s=setup, host=HOST, per_worker=per_worker, buffer=BUFFER_BYTES // 8, busy=BUFFER_BYTES // 2,
            ssl=" ssl" if wiring.tls else "", tls=NGINX_TLS.format(s=setup) if wiring.tls else "",
            kept=NGINX_KEPT.format(kept=KEPT) if wiring.keeps else "", reused=NGINX_REUSED if wiring.keeps else ""))
        argv = [binary(path), "-p", str(setup.folder), "-c", str(config), "-e", str(setup.folder / "nginx.error.log")]
        return Server("nginx", argv, setup.port, setup.folder / "nginx.out")
    return start


# --- HAProxy ----------------------------------------------------------------------------------------------------------

# HAProxy writes no files: its log goes to a socket, line by line to stdout, or to a ring in mapped memory. The ring
# costs no system call per line, so that is what it gets. `http-reuse always`, because the default sends the first
# request of a client connection over a fresh upstream connection. The ratios of its pool, because by default it closes
# upstream connections once a fifth of all descriptors is in use, as with 1,000 clients.
HAPROXY = """
global
    nbthread {s.workers}
    maxconn {s.connections}
    log ring@access format raw local0
    tune.pool-high-fd-ratio 100
    tune.pool-low-fd-ratio 95
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
    bind 127.0.0.1:{s.port} backlog 4096{tls}
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
    {reuse}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {s.scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Via "1.1 haproxy"
    server a {a}
    server b {b}
backend nothing
    http-request return status 404
"""


def haproxy_from(path: str) -> Callable[[Setup], Server]:
    """How to start that HAProxy, with a thread per worker."""
    def start(setup: Setup) -> Server:
        config, wiring = setup.folder / "haproxy.cfg", setup.wiring
        a, b = (address.replace("unix:", "unix@") for address in setup.backends)
        tls = f" ssl crt {setup.certificate}.both ssl-min-ver TLSv1.3" if wiring.tls else ""
        reuse = "http-reuse always" if wiring.keeps else "option http-server-close"
        config.write_text(HAPROXY.format(s=setup, host=HOST, a=a, b=b, tls=tls, reuse=reuse))
        return Server("haproxy", [binary(path), "-db", "-f", str(config)], setup.port, setup.folder / "haproxy.out")
    return start


# --- hotpath-proxy ----------------------------------------------------------------------------------------------------

HOTPATH = """
listen: {{address: 127.0.0.1:{s.port}, backlog: 4096{tls}}}
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
    servers: ["{s.backends[0]}", "{s.backends[1]}"]
    keepalive: {{idle: {kept}, timeout: 60s}}
routes:
  - name: items
    match: {{host: {host}, prefix: /api/}}
    upstream: items
    rate_limit: never
"""


def hotpath_text(setup: Setup) -> str:
    """Our configuration."""
    files = f"certificate: {setup.certificate}, key: {setup.certificate}.key"
    tls = f", tls: {{{files}, minimum: '1.3'}}" if setup.wiring.tls else ""
    return HOTPATH.format(s=setup, host=HOST, tls=tls, kept=KEPT if setup.wiring.keeps else 0)


def hotpath(setup: Setup) -> Server:
    """Our proxy, from this tree."""
    config = setup.folder / "hotpath.yaml"
    config.write_text(hotpath_text(setup))
    argv = [sys.executable, "-P", "-m", "hotpath.proxy", "-c", str(config)]
    return Server("hotpath", argv, setup.port, setup.folder / "hotpath.out")


# --- who is here ------------------------------------------------------------------------------------------------------

BUILT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hotpath-bench"


def without_debug(name: str) -> str:
    """The one that bench/rivals.sh built without debug options, or what the system has."""
    return str(BUILT / name) if (BUILT / name).exists() else binary(name)


PROXIES: dict[str, Callable[[Setup], Server]] = {
    "nginx": nginx_from(without_debug("nginx")),
    "haproxy": haproxy_from(without_debug("haproxy")),
    "hotpath": hotpath,
    "nginx-debian": nginx_from("nginx"),
    "haproxy-debian": haproxy_from("haproxy"),
}
HAS_LOG_FILE = ("nginx", "nginx-debian", "hotpath")


def available() -> list[str]:
    """Ours, behind the rivals that this machine has; a missing one is left out of the tables."""
    return [*(name for name in ("nginx", "haproxy") if "version" in first_line(without_debug(name), "-v")), "hotpath"]


def debians() -> list[str]:
    """Of those that Debian built with debug options, the ones that are here beside a build without."""
    return [f"{name}-debian" for name in ("nginx", "haproxy")
            if (BUILT / name).exists() and "version" in first_line(binary(name), "-v")]


def versions(names: list[str]) -> str:
    """Version of each of `names`, and what one must know of how it was built."""
    built, debian = "Debian's sources, built by bench/rivals.sh without debug options", "Debian's build"
    said = {"hotpath": "hotpath of this commit"}
    for name in ("nginx", "haproxy"):
        path = without_debug(name)
        said[name] = f"{version(path)} ({built if path != binary(name) else debian})"
        said[f"{name}-debian"] = f"{name}-debian {version(binary(name))} (Debian's build, with debug options)"
    return ", ".join([said[name] for name in names] + [" ".join(first_line("wrk", "-v").split()[:2])])


def version(path: str) -> str:
    """`nginx/1.22.1` or `HAProxy 2.6.12`, as that binary says."""
    words = first_line(path, "-v").removeprefix("nginx version: ").replace("HAProxy version", "HAProxy").split()
    return " ".join(words[:2])
