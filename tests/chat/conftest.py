"""The databases that tests of several folders run on."""
from tests.chat.databases import config, database, engine, mariadb

__all__ = ["config", "database", "engine", "mariadb"]
