"""A statement is cut at its values' places once."""
from __future__ import annotations

from hotpath.shard.engine import Statement


def test_a_question_mark_is_a_place():
    statement = Statement("SELECT ? WHERE a = ?")
    assert statement.places == 2
    assert statement.template == [b"SELECT ", b"", b" WHERE a = ", b"", b""]


def test_verbatim_it_is_a_question_mark():
    statement = Statement.verbatim("SELECT '?'")
    assert (statement.places, statement.template, statement.text) == (0, [b"SELECT '?'"], "SELECT '?'")


def test_each_is_equal_only_to_itself():
    assert Statement("SELECT 1") != Statement("SELECT 1")
    assert repr(Statement("SELECT 1")) == "Statement('SELECT 1')"
