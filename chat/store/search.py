"""Which messages hold these words? The index of either engine, and its upkeep.

A word is a run of letters and digits; case and accents do not count. SQLite's FTS5 cuts and folds the text itself.
InnoDB takes `_` for a letter and indexes nothing shorter than three: there we cut and fold, and lengthen short words by
`_`, which no word of ours holds. Scripts without spaces make long words; `part*` finds them by their beginning.
"""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import sqlalchemy

from .errors import invalid
from .shapes import MESSAGE_COLUMNS
from .statements import Row, Statements, Value

WORD = re.compile(r"[^\W_]+")
ASKED = re.compile(r"([^\W_]+)(\*?)")
MAX_WORDS = 20          # that one search asks for
# innodb_ft_min_token_size and innodb_ft_max_token_size, which only the server's start-up can change.
SHORTEST, LONGEST = 3, 84

_COLUMNS = ", ".join(f"x.{name}" for name in MESSAGE_COLUMNS.split(", "))


def create_index(connection: sqlalchemy.Connection, *, is_sqlite: bool) -> None:
    """Make the index if it is missing."""
    if is_sqlite:
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE IF NOT EXISTS message_words USING fts5"
            "(text, content='messages', content_rowid='id', tokenize='unicode61 remove_diacritics 2')")
        return
    # What is a stop word in English is a word elsewhere. It is the index that remembers this setting.
    connection.exec_driver_sql("SET SESSION innodb_ft_enable_stopword = OFF")
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS message_words (message_id BIGINT NOT NULL PRIMARY KEY, words MEDIUMTEXT NOT NULL, "
        "FULLTEXT KEY words (words)) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")


def folded(text: str) -> str:
    """Without case and accents."""
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one)).lower()


def _indexed(word: str) -> str:
    return word[:LONGEST].ljust(SHORTEST, "_")


def _all_words(text: str) -> str:
    return " ".join(_indexed(word) for word in dict.fromkeys(WORD.findall(folded(text))))


def index_texts(rows: Statements, texts: Sequence[tuple[int, str]]) -> None:
    """Make the words of new messages, (id, text), findable."""
    if rows.is_sqlite:
        rows.insert_many("message_words (rowid, text)", texts)
    else:
        rows.insert_many("message_words (message_id, words)", [(id, _all_words(text)) for id, text in texts])


def reindex_text(rows: Statements, message: int, old: str, new: str) -> None:
    """Replace a message's words; none for a deleted one."""
    if rows.is_sqlite:
        rows.run("INSERT INTO message_words (message_words, rowid, text) VALUES ('delete', ?, ?)", (message, old))
    else:
        rows.run("DELETE FROM message_words WHERE message_id = ?", (message,))
    if new:
        index_texts(rows, [(message, new)])


def _question(q: str, *, is_sqlite: bool) -> str:
    """For MATCH: all the words. Refused 422: there are none, or too many."""
    asked = [(match[1], match[2]) for match in ASKED.finditer(folded(q))]
    if not asked:
        raise invalid("q", "holds no word; allowed: letters and digits, * at a word's end for any ending")
    if len(asked) > MAX_WORDS:
        raise invalid("q", f"holds {len(asked)} words; allowed: {MAX_WORDS}")
    if is_sqlite:
        return " ".join(f'"{word}"{star}' for word, star in asked)
    return " ".join(f"+{word[:LONGEST]}*" if star else f"+{_indexed(word)}" for word, star in asked)


def search(rows: Statements, user: int, q: str, *, channel: int | None, author: int | None, before: int | None,
           limit: int) -> list[Row]:
    """MESSAGE_COLUMNS of the newest messages with all the words of `q`, in channels of `user`. Refused 422."""
    if rows.is_sqlite:
        # Walked from the newest, so that a word which is everywhere costs no more than a rare one.
        id, where = "w.rowid", "message_words MATCH ?"
    else:
        id, where = "w.message_id", "MATCH (w.words) AGAINST (? IN BOOLEAN MODE)"
    sql = (f"SELECT {_COLUMNS} FROM message_words w JOIN messages x ON x.id = {id} "
           "JOIN memberships m ON m.channel_id = x.channel_id AND m.user_id = ? "
           f"JOIN channels c ON c.id = x.channel_id WHERE {where} AND NOT x.deleted AND NOT c.deleted")
    values: list[Value] = [user, _question(q, is_sqlite=rows.is_sqlite)]
    for condition, value in (("x.channel_id = ?", channel), ("x.user_id = ?", author), (f"{id} < ?", before)):
        if value is not None:
            sql += f" AND {condition}"
            values.append(value)
    return rows.all(f"{sql} ORDER BY {id} DESC LIMIT ?", [*values, limit])
