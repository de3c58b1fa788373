"""Which gateway is next, with a real Redis, and without one."""
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import redis as redis_py

from hotpath.chat.connect import FORGET_S, LOOK_S, TICKET_COUNTS_S, NoGateway, Registry, Report, probe_health
from hotpath.chat.topics import control_topic, registry_ids, registry_key
from tests.chat.api.serving import running_redis
from tests.waiting import free_port, send_signal, wait_for

PREFIX = "t:"


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture(scope="module")
def redis_url():
    with running_redis() as (url, _):
        yield url


@pytest.fixture
def client(redis_url):
    with redis_py.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def clock():
    return Clock()


def report(id, sockets=0, **more):
    return Report(**{"id": id, "url": f"ws://{id}/ws", "health": f"http://127.0.0.1:1/{id}", "sockets": sockets,
                     "draining": False, "boot": f"{id}b", "at": 1, **more})


def write(client, *reports, life_ms=5000):
    for one in reports:
        client.sadd(registry_ids(PREFIX), one.id)
        client.set(registry_key(PREFIX, one.id), msgspec.json.encode(one), px=life_ms)


def registry(url, clock, states=None):
    made = Registry(lambda: url, PREFIX, clock=clock, probe=lambda health: (states or {}).get(health[-2:], "lost"))
    made.refresh()
    return made


def states_of(made):
    return {gateway.id: gateway.state for gateway in made.gateways()}


def test_the_least_loaded_gateway_is_next_and_each_ticket_counts(redis_url, client, clock):
    write(client, report("g1", 10), report("g2", 8))
    made = registry(redis_url, clock)
    assert [made.choose().id for _ in range(6)] == ["g2", "g2", "g1", "g2", "g1", "g2"]


def test_a_ticket_counts_for_five_seconds(redis_url, client, clock):
    write(client, report("g1", 0), report("g2", 3))
    made = registry(redis_url, clock)
    assert [made.choose().id for _ in range(3)] == ["g1"] * 3
    clock.now_s += TICKET_COUNTS_S
    assert [made.choose().id for _ in range(3)] == ["g1"] * 3


def test_a_look_is_not_taken_again_at_once(redis_url, client, clock):
    made = registry(redis_url, clock)
    write(client, report("g1"))
    made.look()
    assert states_of(made) == {}
    clock.now_s += 2 * LOOK_S
    made.look()
    assert states_of(made) == {"g1": "up"}


def test_a_draining_gateway_gets_nobody(redis_url, client, clock):
    write(client, report("g1", 0, draining=True), report("g2", 1000))
    made = registry(redis_url, clock)
    assert states_of(made) == {"g1": "draining", "g2": "up"}
    assert {made.choose().id for _ in range(20)} == {"g2"}


def test_exclude_is_obeyed_while_another_lives(redis_url, client, clock):
    write(client, report("g1", 0), report("g2", 1000))
    made = registry(redis_url, clock)
    assert made.choose(["g1"]).id == "g2"
    assert made.choose(["g1", "g2"]).id == "g1"
    assert made.choose(["nobody"]).id == "g1"


def test_without_any_gateway_there_is_none(redis_url, client, clock):
    made = registry(redis_url, clock)
    with pytest.raises(NoGateway):
        made.choose()
    write(client, report("g1", draining=True))
    made.refresh()
    with pytest.raises(NoGateway):
        made.choose()


def test_a_gateway_whose_key_has_run_out_is_lost_and_later_forgotten(redis_url, client, clock):
    write(client, report("g1"), report("g2"))
    made = registry(redis_url, clock)
    client.delete(registry_key(PREFIX, "g1"))
    made.refresh()
    assert states_of(made) == {"g1": "lost", "g2": "up"}
    assert {made.choose().id for _ in range(4)} == {"g2"}
    clock.now_s += FORGET_S
    made.refresh()
    assert states_of(made) == {"g2": "up"}


def test_a_gateway_that_lives_is_not_lost_because_redis_came_back_empty(redis_url, client, clock):
    write(client, report("g1"), report("g2"))
    states = {"g1": "up", "g2": "lost"}
    made = registry(redis_url, clock, states)
    client.flushall()
    for _ in range(3):
        clock.now_s += FORGET_S
        made.refresh()
        assert made.choose().id == "g1"
    assert states_of(made) == {"g1": "up"}


def test_a_gateway_that_came_back_is_up_with_its_new_boot(redis_url, client, clock):
    write(client, report("g1"))
    made = registry(redis_url, clock)
    client.delete(registry_key(PREFIX, "g1"))
    made.refresh()
    write(client, report("g1", boot="new", at=2))
    made.refresh()
    assert made.choose().boot == "new"


def test_who_could_not_reach_a_gateway_makes_us_ask_it(redis_url, client, clock):
    write(client, report("g1"), report("g2", 5))
    states = {"g1": "lost"}
    made = registry(redis_url, clock, states)
    assert made.choose(["g1"]).id == "g2"
    assert states_of(made)["g1"] == "up"
    made.refresh()
    assert states_of(made)["g1"] == "lost"
    # Its key still says that it lives, for some seconds: that is the report we know.
    made.refresh()
    assert states_of(made)["g1"] == "lost"
    assert made.choose().id == "g2"
    write(client, report("g1", at=2))
    made.refresh()
    assert states_of(made)["g1"] == "up"


def test_a_client_that_merely_says_so_does_not_make_a_gateway_lost(redis_url, client, clock):
    write(client, report("g1"), report("g2", 5))
    made = registry(redis_url, clock, {"g1": "up"})
    made.choose(["g1"])
    made.refresh()
    assert states_of(made) == {"g1": "up", "g2": "up"}


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b'{"id": 3}', msgspec.json.encode(report("other"))])
def test_a_report_that_is_none_is_passed_over(redis_url, client, clock, text):
    write(client, report("g2"))
    client.sadd(registry_ids(PREFIX), "g1")
    client.set(registry_key(PREFIX, "g1"), text)
    assert states_of(registry(redis_url, clock)) == {"g2": "up"}


def test_what_newer_gateways_say_besides_is_passed_over(redis_url, client, clock):
    client.sadd(registry_ids(PREFIX), "g1")
    client.set(registry_key(PREFIX, "g1"), json.dumps({**msgspec.to_builtins(report("g1")), "more": 1}))
    assert registry(redis_url, clock).choose().id == "g1"


def test_while_redis_is_away_the_last_list_is_asked_itself(redis_url, client, clock):
    write(client, report("g1"), report("g2"), report("g3"))
    states = {"g1": "up", "g2": "draining", "g3": "lost"}
    made = registry(redis_url, clock, states)
    made._redis_url = lambda: f"redis://127.0.0.1:{free_port()}/0"
    made._disconnect()
    made.refresh()
    assert made.redis_is_away
    assert states_of(made) == states
    clock.now_s += 10 * FORGET_S
    states["g3"] = "up"
    made.refresh()
    assert states_of(made) == states
    made._redis_url = lambda: redis_url
    made.refresh()
    assert not made.redis_is_away
    assert states_of(made) == {"g1": "up", "g2": "up", "g3": "up"}


def test_a_redis_that_is_silent_does_not_hold_a_choice_up(clock):
    with running_redis() as (url, process):
        with redis_py.Redis.from_url(url) as client:
            write(client, report("g1", health="http://127.0.0.1:1/g1"))
        made = registry(url, clock, {"g1": "up"})
        send_signal(process.pid, signal.SIGSTOP)
        made.start()        # looks once, in vain, then chooses from what it knew
        assert made.choose().id == "g1"
        process.popen.send_signal(signal.SIGCONT)
        wait_for(lambda: not made.redis_is_away, "redis to be back")
        made.stop()


def test_the_thread_follows_the_gateways(redis_url, client):
    made = Registry(lambda: redis_url, PREFIX)
    made.start()
    try:
        with pytest.raises(NoGateway):
            made.choose()
        write(client, report("g1"))
        wait_for(lambda: states_of(made) == {"g1": "up"}, "the report to be seen")
    finally:
        made.stop()


def test_a_drain_is_told_to_the_gateway(redis_url, client, clock):
    write(client, report("g1"))
    made = registry(redis_url, clock)
    with client.pubsub() as heard:
        heard.subscribe(control_topic(PREFIX, "g1"))
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        made.drain("g1")
        assert json.loads(heard.get_message(timeout=5)["data"]) == {"drain": True}
    with pytest.raises(KeyError):
        made.drain("g9")
    made._redis_url = lambda: f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(NoGateway, match="Redis is away"):
        made.drain("g1")


@pytest.mark.parametrize(("status", "state"), [(200, "up"), (503, "draining"), (500, "draining")])
def test_a_gateway_says_itself_how_it_is(status, state):
    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert probe_health(f"http://127.0.0.1:{server.server_port}/healthz") == state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/healthz", "", "nonsense", "http://[/"])
def test_a_gateway_that_is_not_there_is_lost(url):
    assert probe_health(url.format(free_port())) == "lost"
