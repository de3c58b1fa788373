"""Makes tables that others may be making at the same moment."""
from __future__ import annotations

from sqlalchemy import Engine, MetaData, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from .classify import first_line, translating
from .errors import Unusable


def ensure_tables(engine: Engine, metadata: MetaData) -> None:
    """Make those that are not there. Raises Unusable, whose one line has the statement that is to be run."""
    for table in metadata.sorted_tables:
        try:
            with translating():
                table.create(engine, checkfirst=True)
        except DBAPIError as error:
            # Each database has an error of its own for who comes second between the check and the CREATE.
            if inspect(engine).has_table(table.name, schema=table.schema):
                continue
            statement = " ".join(str(CreateTable(table).compile(engine)).split())
            raise Unusable(f"the table {table.name} cannot be made ({first_line(error)}); let somebody who may run: "
                           f"{statement}") from error
