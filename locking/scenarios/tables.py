"""The tables that the scenarios play with, beside whatever else the database has."""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session

from hotpath.locking.tables import ensure_tables

PREFIX = "hotpath_scene_"
KEY_LENGTH = 40


class Base(DeclarativeBase):
    """What every table here has: a first key column whose values end with the mark of the play."""


def fill(engine: Engine, rows: Sequence[Base]) -> None:
    """Put the rows in; make the tables that are not there. Raises Unusable."""
    ensure_tables(engine, Base.metadata)
    with Session(engine) as session, session.begin():
        session.add_all(rows)


def clear(engine: Engine, mark: str) -> None:
    """Delete the rows of the play: one by one, since a DELETE that searches would lock what belongs to others."""
    with suppress(DBAPIError), Session(engine) as session, session.begin():
        for mapper in Base.registry.mappers:
            for row in session.scalars(select(mapper.class_).where(mapper.primary_key[0].endswith(mark))):
                session.delete(row)
