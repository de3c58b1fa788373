"""The databases, and the tables, that all tests of locking run on."""
from tests.locking.databases import backend, engine, mariadb, postgresql, server, url
from tests.locking.rows import new_session, stored

__all__ = ["backend", "engine", "mariadb", "new_session", "postgresql", "server", "stored", "url"]
