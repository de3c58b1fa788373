"""A request costs no malloc: what it needs comes from slabs and free lists that its forerunners filled."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, saying
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import wait_for

TELL = signal.SIGRTMIN + 5

# Counts what goes through malloc's three doors, and says so on a signal that nothing else uses.
COUNTER = f"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static unsigned long n;
void *malloc(size_t size) {{ n++; return __libc_malloc(size); }}
void *calloc(size_t many, size_t size) {{ n++; return __libc_calloc(many, size); }}
void *realloc(void *old, size_t size) {{ n++; return __libc_realloc(old, size); }}
static void tell(int number) {{
    char line[64];
    int size = snprintf(line, sizeof line, "%lu\\n", n);
    int fd = open(getenv("ALLOCATIONS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    (void)!write(fd, line, size);
    close(fd);
}}
__attribute__((constructor)) static void start(void) {{ signal({TELL}, tell); }}
"""


class Counted:
    """A proxy of one worker whose allocations can be asked for."""

    def __init__(self, proxy: Proxy, file: Path) -> None:
        self.proxy, self.file, self.n_asked = proxy, file, 0

    def allocations(self) -> int:
        [worker] = self.proxy.workers()
        self.n_asked += 1
        os.kill(worker, TELL)
        wait_for(lambda: self.file.exists() and self.file.read_text().count("\n") == self.n_asked, "the count")
        return int(self.file.read_text().split()[-1])


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "counter.c").write_text(COUNTER)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "counter.so", folder / "counter.c"], check=True)
    with Backend() as backend, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(folder / "counter.so"))
        patch.setenv("ALLOCATIONS", str(folder / "counts"))
        backend.on("/", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
        config = {
            "rate_limits": {"never": {"key": "client_ip", "rate": "1000000/s", "burst": 1000000}},
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": [{"name": "all", "match": {"prefix": "/"}, "upstream": "b", "rate_limit": "never"}],
        }
        with Proxy(config) as proxy:
            yield Counted(proxy, folder / "counts")


def ask(client: Client, times: int) -> None:
    for _ in range(times):
        client.send(request_bytes("GET", "/"))
        assert client.answer().body == b"hello"


def test_requests_and_connections_allocate_nothing_once_warm(counted: Counted) -> None:
    with Client(counted.proxy.address) as client:
        ask(client, 5)
        fetch(counted.proxy.address, "/")
        before = counted.allocations()
        ask(client, 100)
        for _ in range(10):
            fetch(counted.proxy.address, "/")
        assert counted.allocations() == before


def test_the_counter_counts(counted: Counted) -> None:
    before = counted.allocations()
    with Client(counted.proxy.address) as client:       # a head too large for the buffers there are
        client.send(request_bytes("GET", "/", [("X-Long", "x" * 20_000)]))
        assert client.answer().body == b"hello"
    assert counted.allocations() > before
