"""Several proxies behind a balancer of TCP connections: each sees who comes, and one may die."""
from __future__ import annotations

import http.client

from tests.backends import Backend
from tests.deploy.balancing import balanced
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for


def config(backend):
    address = free_address()
    return address, {
        "listen": {"address": address, "proxy_protocol": True}, "trusted_proxies": ["127.0.0.1/32"],
        "upstreams": {"app": {"servers": [backend.address]}}, "routes": [{"match": {"prefix": "/"}, "upstream": "app"}]}


def ask(port, source):
    """Whom the backend takes the client for."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    connection.close()


def test_the_client_is_known_behind_both_and_a_dead_proxy_is_gone_round(tmp_path):
    with Backend() as backend:
        (first, one), (second, two) = config(backend), config(backend)
        with Proxy(one) as a, Proxy(two), balanced(tmp_path, *(f"{where} send-proxy-v2 check-send-proxy"
                                                                for where in (first, second))) as port:
            for _ in range(6):
                ask(port, "127.0.0.9")
            a.process.kill()
            a.process.wait()

            def answered():
                try:
                    ask(port, "127.0.0.9")
                except (OSError, http.client.HTTPException):
                    return False
                return True

            wait_for(answered, "the other proxy")
            for _ in range(6):
                ask(port, "127.0.0.9")
        told = {exchange.value("x-forwarded-for") for exchange in backend.seen("/")}
    assert told == {"127.0.0.9"}
