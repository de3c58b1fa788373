"""The tables on the engines' own terms: what is unique, what is told apart, what is kept whole."""
import pytest
from sqlalchemy import exc, insert, select

from hotpath.chat.models import channels, memberships, messages, metadata, reactions, users
from hotpath.chat.models import metadata as all_tables


def message(channel, seq, user, client_msg_id, text="x"):
    return {"channel_id": channel, "seq": seq, "user_id": user, "client_msg_id": client_msg_id, "text": text,
            "digest": "d", "at": 1, "deleted": False}


@pytest.fixture
def add(database):
    """Insert rows, and tell whether that was allowed."""
    def add(table, *rows) -> bool:
        try:
            with database.engine.begin() as connection:
                connection.execute(insert(table), list(rows))
        except exc.IntegrityError:
            return False
        return True
    return add


def test_every_table_has_a_primary_key_and_no_foreign_one():
    for table in all_tables.tables.values():
        assert table.primary_key.columns
        assert not table.foreign_keys


def test_one_message_for_each_place_and_for_each_id_of_its_author(add):
    assert add(messages, message(1, 1, 1, "a"), message(1, 2, 1, "b"), message(2, 1, 1, "c"), message(1, 3, 2, "a"))
    assert not add(messages, message(1, 1, 3, "z"))
    assert not add(messages, message(3, 1, 1, "a"))


def test_case_and_accents_tell_ids_and_names_apart(add):
    assert add(messages, message(1, 1, 1, "abc"), message(1, 2, 1, "ABC"), message(1, 3, 1, "äbc"))
    user = {"display": "", "password_hash": "", "active": True, "created_at": 1}
    assert add(users, {"name": "ann", **user}, {"name": "ANN", **user}, {"name": "änn", **user})
    assert not add(users, {"name": "ann", **user})


def test_a_name_is_free_again_without_its_live_name(add):
    channel = {"kind": "public", "name": "plans", "topic": "", "archived": False, "deleted": True, "last_seq": 0,
               "published_seq": 0, "created_at": 1}
    assert add(channels, {**channel, "live_name": None}, {**channel, "live_name": None})
    assert add(channels, {**channel, "live_name": "plans"})
    assert not add(channels, {**channel, "live_name": "plans"})


@pytest.mark.parametrize("text", ["👩‍👩‍👧 終 \u0301", "\\ ' \" % \n\r\t", "x" * 100_000, " padded  "])
def test_text_comes_back_as_it_went_in(add, database, text):
    assert add(messages, message(1, 1, 1, "a", text))
    with database.engine.connect() as connection:
        assert connection.scalar(select(messages.c.text)) == text


def test_ids_are_never_given_twice(add, database):
    assert add(messages, message(1, 1, 1, "a"), message(1, 2, 1, "b"))
    with database.engine.begin() as connection:
        newest = connection.scalar(select(messages.c.id).order_by(messages.c.id.desc()))
        connection.execute(messages.delete())
    assert add(messages, message(1, 1, 1, "a"))
    with database.engine.connect() as connection:
        assert connection.scalar(select(messages.c.id)) > newest


def test_one_reaction_of_each_kind_and_one_membership(add):
    assert add(reactions, {"message_id": 1, "emoji": "👍", "user_id": 1, "seq": 1},
               {"message_id": 1, "emoji": "👍🏽", "user_id": 1, "seq": 2},
               {"message_id": 1, "emoji": "🎉", "user_id": 1, "seq": 3})
    assert not add(reactions, {"message_id": 1, "emoji": "👍", "user_id": 1, "seq": 4})
    member = {"role": "member", "joined_seq": 1, "last_read": 1, "rev": 1, "version": 1}
    assert add(memberships, {"channel_id": 1, "user_id": 1, **member}, {"channel_id": 1, "user_id": 2, **member})
    assert not add(memberships, {"channel_id": 1, "user_id": 1, **member})
    assert "memberships" in metadata.tables
