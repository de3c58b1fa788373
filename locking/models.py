"""What a model inherits to be locked: a version that each change raises, or the columns of a job that is claimed."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, and_, event, inspect, tuple_
from sqlalchemy.orm import Mapped, Mapper, mapped_column
from sqlalchemy.sql.elements import ColumnElement

OWNER_LENGTH = 255
# Behind every moment: what is done leaves the range of the index in which claims look.
FINISHED_US = 2**62


class Versioned:
    """A version column: 1 at birth, 1 more for each change; a change of a version that is not current any more fails.

    Bulk UPDATE and DELETE pass it by: for those there is `cas_update`.
    """

    version: Mapped[int] = mapped_column(Integer, nullable=False)


@event.listens_for(Versioned, "instrument_class", propagate=True)
def _check_version(mapper: Mapper[Any], model: type) -> None:
    # SQLAlchemy's own optimistic lock, on our column. Not by __mapper_args__: a model that has its own would lose it,
    # and nothing would tell.
    if mapper.inherits is None:
        mapper.version_id_col = mapper.local_table.c.version
    elif mapper.inherits.version_id_col is None:
        raise TypeError(f"{model.__name__} inherits columns from {mapper.inherits.class_.__name__}, which has no "
                        "version: let that one inherit Versioned")


class Claimable:
    """The columns of a job: who works on it, until when, the how-manieth hand-out that is, and whether it is done."""

    owner: Mapped[str | None] = mapped_column(String(OWNER_LENGTH), default=None)
    # Microseconds since 1970: 0 is free, FINISHED_US done. One index finds what may be claimed.
    claimed_until: Mapped[int] = mapped_column(BigInteger, default=0, nullable=False)
    token: Mapped[int] = mapped_column(BigInteger, default=0, nullable=False)
    finished: Mapped[bool] = mapped_column(Boolean, default=False, nullable=False)


@event.listens_for(Claimable, "after_mapper_constructed", propagate=True)
def _index_what_may_be_claimed(mapper: Mapper[Any], _model: type) -> None:
    # With the key: all free jobs have the same moment, and PostgreSQL would sort them for each claim (measured: 170 ms
    # for 100,000 jobs, 6 ms with it). No __table_args__: a model that has its own would lose it.
    column = mapper.columns["claimed_until"]    # not column_attrs: that configures every mapper, half-defined ones too
    table = column.table
    assert isinstance(table, Table)
    if not any(index.columns and next(iter(index.columns)) is column for index in table.indexes):
        Index(None, column, *table.primary_key)


def mapper_of(model: type) -> Mapper[Any]:
    """How SQLAlchemy maps the class. Raises NoInspectionAvailable, UnmappedClassError."""
    mapper: Mapper[Any] = inspect(model)
    return mapper


def key_columns(model: type) -> tuple[Column[Any], ...]:
    """The primary key's columns, in its order."""
    return cast("tuple[Column[Any], ...]", mapper_of(model).primary_key)


def key_of(row: object) -> Any:  # noqa: ANN401   a key has any type
    """The row's key: a value, or a tuple where it has several columns."""
    values = tuple(mapper_of(type(row)).primary_key_from_instance(row))
    return values[0] if len(values) == 1 else values


def in_keys(model: type, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether a row has one of the keys, given as tuples. Raises ValueError: one has too many or too few columns."""
    columns = key_columns(model)
    for key in keys:
        if len(key) != len(columns):
            raise ValueError(f"{model.__name__}: its key has {len(columns)} column{'s'[:len(columns) > 1]} "
                             f"({', '.join(str(column.key) for column in columns)}), not {len(key)}")
    if len(keys) == 1:
        return and_(*(column == value for column, value in zip(columns, keys[0], strict=True)))
    return columns[0].in_([key[0] for key in keys]) if len(columns) == 1 else tuple_(*columns).in_(keys)


def as_tuple(key: object) -> tuple[Any, ...]:
    """The key as a tuple, also of one value."""
    return tuple(key) if isinstance(key, tuple | list) else (key,)
