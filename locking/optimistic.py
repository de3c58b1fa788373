"""Checks versions instead of waiting: who comes second is told, and nothing is overwritten."""
from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Column, ColumnElement, CursorResult, FromClause, Table, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from .classify import translating
from .errors import Conflict, Missing
from .models import Versioned, as_tuple, in_keys, key_of, mapper_of
from .pessimistic import locking_rows


def cas_update(session: Session, model: type[Versioned], key: object, version: int, **values: object) -> int:
    """UPDATE … WHERE key AND version: set `values` if the row still has `version`; the new version.

    Compare-and-set in one statement, without reading the row. What the session holds of the row is read anew when it is
    looked at next. Raises Conflict(key, expected, actual), Missing, and what `translating` does.
    """
    mapper = mapper_of(model)
    unknown = [name for name in values if name not in mapper.column_attrs]
    if unknown or "version" in values:
        raise TypeError(f"{model.__name__}: {', '.join(unknown) or 'version'} cannot be set here")
    if mapper.version_id_col is None:
        raise TypeError(f"{model.__name__} has no version: let it inherit Versioned")
    same = in_keys(model, [as_tuple(key)])
    counted = mapper.version_id_col
    # A model with joined inheritance has several tables; one of them has the version.
    changes: dict[FromClause, dict[Any, Any]] = {counted.table: {counted: version + 1}}
    for name, value in values.items():
        column = mapper.column_attrs[name].columns[0]
        changes.setdefault(cast(FromClause, column.table), {})[column] = value
    with translating():
        session.flush()
        first = changes.pop(counted.table)
        if _changed(session, counted.table, key, first, counted == version):
            for table, rest in changes.items():
                _changed(session, table, key, rest)
            held = session.identity_map.get(mapper.identity_key_from_primary_key(as_tuple(key)))
            if held is not None:
                session.expire(held)
            return version + 1
        # As committed now: under REPEATABLE READ a plain SELECT would show the version that was expected.
        rows = locking_rows(session, select(model.version).where(same), share=True)
        actual = rows.scalar() if rows is not None else None
    if actual is None:
        raise Missing(model, key)
    raise Conflict(key, version, actual)


def _changed(session: Session, table: FromClause, key: object, values: dict[Any, Any], *more: ColumnElement[bool]
             ) -> bool:
    same = (column == value for column, value in zip(table.primary_key, as_tuple(key), strict=True))
    result = session.execute(update(cast(Table, table)).where(*same, *more).values({
        column.name: value for column, value in values.items()}))
    return bool(cast("CursorResult[Any]", result).rowcount)


def force_increment(session: Session, row: Versioned) -> None:
    """Raise the row's version at the next flush although none of its columns changes: something that belongs to it did.

    Once per flush, also when the row is changed besides. Whoever read the row before and changes it gets a Conflict.
    """
    mapper = mapper_of(type(row))
    if mapper.version_id_col is None:
        raise TypeError(f"{type(row).__name__} has no version: let it inherit Versioned")
    keys = set(mapper.primary_key)
    # What is set to the value that it has counts as a change.
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if (isinstance(column, Column) and column.computed is None and column not in keys
                and column is not mapper.version_id_col):
            getattr(row, attribute.key)         # an expired one has no value to set
            flag_modified(row, attribute.key)
            return
    raise TypeError(f"{type(row).__name__} has no column beside its key and its version")


def ensure_unchanged(session: Session, *rows: Versioned) -> None:
    """Make sure that `rows`, which were only read, stay as they are until the transaction ends. Raises Conflict.

    The cure of write skew: two units of work that each read what the other writes cannot both pass. Each row's version
    is read again under a lock that others may share, by ascending key; call it last, just before the commit.
    """
    by_model: dict[type[Versioned], dict[tuple[Any, ...], Versioned]] = {}
    for row in rows:
        if not isinstance(row, Versioned):
            raise TypeError(f"{type(row).__name__} has no version: let it inherit Versioned")
        by_model.setdefault(type(row), {})[as_tuple(key_of(row))] = row
    for model in sorted(by_model, key=lambda model: str(mapper_of(model).local_table)):
        held = by_model[model]
        # It raises the version of what this unit changed itself.
        with translating():
            session.flush()
        for key in sorted(held):
            found = locking_rows(session, select(model.version).where(in_keys(model, [key])), share=True)
            actual = found.scalar() if found is not None else None
            if actual is None or actual != held[key].version:
                raise Conflict(key[0] if len(key) == 1 else key, held[key].version, actual)

