"""A database that is gone, or silent: who asks is told to come back, and what is behind it goes on when it is back."""
from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.locking.databases import SERVERS, running
from tests.locking.web.servers import conditions, healthy, problem_of, serving
from tests.waiting import wait_for


@pytest.mark.parametrize("backend", SERVERS)
def test_while_the_database_is_gone_requests_are_told_to_come_back(backend):
    with running(backend) as database, serving("--url", database.new_url()) as server:
        item = server.item()
        # Connections that are open and idle when it happens.
        for _ in range(20):
            server.increment("c", "atomic")
        database.kill()
        for method, target, body in (("GET", "/items", None), ("GET", item, None), ("POST", "/items", {"title": "t"}),
                                     ("PUT", item, {"title": "t", "body": ""}), ("DELETE", item, None),
                                     ("POST", f"{item}/lock", {"owner": "ann"}), ("GET", "/counters/c", None),
                                     ("POST", "/counters/c/increment?policy=adaptive", None),
                                     ("POST", "/counters/c/increment?policy=atomic", None),
                                     ("POST", "/scenarios/lost-update?policy=naive", None)):
            answer = server.ask(method, target, body, conditions('"v1"', None))
            told = problem_of(answer, 503)
            assert int(answer.value("retry-after")) >= 1
            assert told["outcome"] in ("none", "unknown")
            assert backend not in answer.body.decode()
        unwell = wait_for(lambda: (answer := server.get("/healthz")).status == 503 and answer, "it to be unwell")
        assert problem_of(unwell, 503)["detail"] == "the database cannot be reached"
        # What needs no database is there.
        assert server.get("/").status == 200
        assert server.get("/scenarios").status == 200
        assert server.metrics()['hotpath_locking_gave_up_total{work="counters",policy="atomic"}'] >= 1
        problem_of(server.ask("POST", "/items", {}), 422)
        database.start()
        healthy(server)
        assert server.get(item).json()["version"] == 1
        assert server.put(item, '"v1"').status == 200
        assert server.value("c") == 20
        assert server.ask("POST", "/scenarios/lost-update?policy=naive").status == 200
        assert "Traceback" not in server.served.output()


@pytest.mark.parametrize("backend", SERVERS)
def test_a_worker_that_begins_while_the_database_is_gone_serves_when_it_is_back(backend):
    with running(backend) as database, serving("--url", database.new_url(), workers=1) as server:
        server.increment("c", "atomic")
        database.kill()
        (worker,) = server.served.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: (now := server.served.workers()) and worker not in now, "another worker")
        problem_of(server.get("/counters/c"), 503)
        database.start()
        wait_for(lambda: server.get("/counters/c").status == 200, "the database")
        assert server.value("c") == 1


def test_a_database_that_is_silent_is_not_well_and_the_loop_goes_on(mariadb):
    with serving("--url", mariadb.new_url(), workers=1) as server:
        server.increment("c", "atomic")
        mariadb.signal(signal.SIGSTOP)
        try:
            # More than there are threads: they all wait, and others are answered all the same.
            waiting = [threading.Thread(target=server.increment, args=("c", "atomic")) for _ in range(20)]
            for thread in waiting:
                thread.start()
            wait_for(lambda: server.get("/healthz").status == 503, "it to be unwell")
            assert "not answered" in problem_of(server.get("/healthz"), 503)["detail"]
            assert server.get("/").status == 200
        finally:
            mariadb.signal(signal.SIGCONT)
        for thread in waiting:
            thread.join()
        healthy(server)
        assert server.value("c") == 21
