"""Hands out jobs: each to one worker for a time, and to another when that is over; only the newest may finish it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import (
    BindParameter,
    Dialect,
    Integer,
    Select,
    Table,
    Update,
    bindparam,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstanceState, Mapper, Session, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from .classify import translating
from .clock import now_us_of
from .engine import MYSQL, begin_write
from .errors import LostLease
from .lease import check_words, microseconds
from .models import FINISHED_US, Claimable, Versioned, mapper_of

Job = TypeVar("Job", bound=Claimable)

# In an instance's notes: the token that it was claimed with. The attribute is another's once it is read anew.
CLAIMED = "hotpath_claimed"
IN_TRANSACTION = 1568       # ER_CANT_CHANGE_TX_CHARACTERISTICS


@dataclass(frozen=True, slots=True)
class _Statements:
    """Of one model on one database, made once: to put them together takes longer than to execute them."""

    free: Select[Any]           # of claim_n
    take: Update                # claim_keys, claim_owner, claim_until
    finish: Update              # claim_keys, claim_owner, claim_token
    raised: tuple[str, ...]     # by each hand-out


def claim(session: Session, model: type[Job], n: int, *, owner: str, ttl: float) -> list[Job]:
    """At most `n` jobs that are free or whose time is over, oldest first; they are `owner`'s for `ttl` seconds.

    The caller commits, soon, and works behind that. Jobs that others are just taking are passed over, so nobody waits;
    on SQLite, where one writes at a time, the turn is waited for. A transaction that begins with it is READ COMMITTED
    on MySQL and MariaDB; one that found fewer than `n` there holds up whoever finishes the job whose time ends first.
    Above READ COMMITTED claims that meet on PostgreSQL end in Serialization. Raises ValueError, and what `translating`
    does.
    """
    if n < 1:
        raise ValueError(f"n {n}: allowed from 1")
    check_words(owner=owner)
    ttl_us = microseconds(ttl)
    dialect = session.get_bind().dialect
    statements = _statements(mapper_of(model), dialect)
    if dialect.name in MYSQL:
        _read_committed(session)
    with translating():
        session.flush()
        begin_write(session)
        # What the session knows already is shown as it is now.
        rows = session.execute(statements.free, {"claim_n": n}, execution_options={"populate_existing": True}).all()
    if not rows:
        return []
    jobs = [row[0] for row in rows]
    until = rows[0].now + ttl_us
    with translating():
        session.connection().execute(statements.take, {
            "claim_keys": _keys(jobs), "claim_owner": owner, "claim_until": until})
    for job in jobs:
        for name in statements.raised:
            set_committed_value(job, name, getattr(job, name) + 1)
        set_committed_value(job, "owner", owner)
        set_committed_value(job, "claimed_until", until)
        _notes(job)[CLAIMED] = owner, job.token
    return jobs


def finish(session: Session, row: Claimable) -> None:
    """The job is done once the transaction commits, and never handed out again; also past its time, if none took it.

    What else is written in the same transaction is so written once for the job. Raises LostLease when it went to
    another, is finished already or was never claimed, and what `translating` does.
    """
    statements = _statements(mapper_of(type(row)), session.get_bind().dialect)
    owner, token = _notes(row).get(CLAIMED) or (row.owner, row.token)
    with translating():
        session.flush()
        done = session.connection().execute(statements.finish, {
            "claim_keys": _keys([row]), "claim_owner": owner, "claim_token": token})
    if not done.rowcount:
        raise LostLease(f"{type(row).__name__} {inspect(row).identity}", token)
    set_committed_value(row, "finished", True)
    set_committed_value(row, "claimed_until", FINISHED_US)
    if isinstance(row, Versioned) and row in session:
        session.expire(row, ["version"])


@lru_cache(maxsize=256)
def _statements(mapper: Mapper[Any], dialect: Dialect) -> _Statements:
    attributes = mapper.column_attrs
    raised = ("token", "version") if issubclass(mapper.class_, Versioned) else ("token",)
    owner, until, token, finished = (
        attributes[name].columns[0] for name in ("owner", "claimed_until", "token", "finished"))
    table = token.table
    assert isinstance(table, Table)
    key = tuple(table.primary_key)
    now = now_us_of(dialect.name)
    # What would be loaded along by a join would be locked too, where the database allows that at all: it is read apart.
    apart = [selectinload(getattr(mapper.class_, one.key)) for one in mapper.relationships
             if one.lazy in ("joined", False)]
    free = select(mapper.class_, now.label("now")).where(until < now).order_by(until, *key).limit(
        bindparam("claim_n", type_=Integer)).options(*apart).with_for_update(skip_locked=True)
    one_of: BindParameter[Any] = bindparam("claim_keys", expanding=True)
    these = update(table).where(key[0].in_(one_of) if len(key) == 1 else tuple_(*key).in_(one_of))
    if dialect.name in MYSQL:
        # The optimizer reads many a table from end to end instead, and locks all that it reads.
        index = next(index for index in table.indexes if index.columns.contains_column(until))
        free = free.with_hint(table, f"FORCE INDEX ({dialect.identifier_preparer.format_index(index)})", dialect.name)
        these = these.with_hint("FORCE INDEX (PRIMARY)", dialect_name=dialect.name)
    more = {attributes[name].columns[0]: attributes[name].columns[0] + 1 for name in raised if name != "token"}
    take = these.values({owner: bindparam("claim_owner"), until: bindparam("claim_until"), token: token + 1, **more})
    # The owner too: a claim that was rolled back has a token that somebody else got after it.
    is_theirs = (owner == bindparam("claim_owner"), token == bindparam("claim_token"), until < FINISHED_US)
    finish = these.where(*is_theirs).values({finished: True, until: FINISHED_US, **more})
    return _Statements(free, take, finish, raised)


def _read_committed(session: Session) -> None:
    """Under REPEATABLE READ InnoDB locks the gap behind the last job that it saw: whoever finishes a job, or adds one,
    would wait for our commit."""
    try:
        session.connection().exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    except DBAPIError as error:
        if getattr(error.orig, "errno", None) != IN_TRANSACTION:
            raise


def _keys(rows: Sequence[object]) -> list[Any]:
    """Those that they were loaded with: one that expired cannot be asked."""
    keys = [cast("InstanceState[Any]", inspect(row)).identity for row in rows]
    return [key[0] if len(key) == 1 else key for key in keys if key is not None]


def _notes(row: object) -> dict[str, Any]:
    state: InstanceState[Any] = inspect(row)
    return state.info
