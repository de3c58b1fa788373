"""The database's clock: microseconds since 1970, of one zone, whatever zone the server stands in."""
import os
import time

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hotpath import locking as L
from hotpath.locking.clock import now_us
from tests.waiting import wait_for

from .databases import SERVERS, running

DAY_US = 86_400 * 10**6


def test_it_counts_microseconds_since_1970(engine):
    with Session(engine) as session:
        now = session.scalar(select(now_us(session)))
    assert type(now) is int
    # The servers run on this machine; the bound only tells units and zones apart.
    assert abs(now - time.time_ns() // 1000) < DAY_US // 48


def test_it_goes_on_within_a_transaction(engine):
    """A lease may be asked for long after the transaction began."""
    with Session(engine) as session:
        first = session.scalar(select(now_us(session)))
        wait_for(lambda: session.scalar(select(now_us(session))) > first, "the clock to go on")


def test_it_is_one_for_a_whole_statement(engine):
    with Session(engine) as session:
        one, other = session.execute(select(now_us(session), now_us(session))).one()
    assert one == other


@pytest.mark.parametrize("backend", SERVERS)
def test_the_zone_of_the_server_does_not_matter(backend, monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "Pacific/Kiritimati")
    with running(backend) as server:
        engine = L.engine(server.new_url())
        with Session(engine) as session:
            assert abs(session.scalar(select(now_us(session))) - time.time_ns() // 1000) < DAY_US // 48
        engine.dispose()


def test_nor_the_hour_that_autumn_has_twice(monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "Europe/Berlin")
    first, second = 1_792_888_200, 1_792_891_800        # 2026-10-25, 02:30 of summer and 02:30 of winter
    with running("mariadb") as server:
        engine = L.engine(server.new_url())
        with Session(engine) as session:
            for moment in (first, second):
                session.execute(text(f"SET timestamp = {moment}.5"))
                assert session.scalar(select(now_us(session))) == moment * 10**6 + 500_000
            # The control: by way of the local time.
            session.execute(text(f"SET timestamp = {first}"))
            assert session.scalar(text("SELECT UNIX_TIMESTAMP(NOW())")) == second
        engine.dispose()
