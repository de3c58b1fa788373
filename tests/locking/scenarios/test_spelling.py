"""Statements as a person would write them."""
import pytest

from hotpath.locking.scenarios.spelling import literal, spelled


@pytest.mark.parametrize(("statement", "values", "text"), [
    ("SELECT hotpath_scene_stock.id AS hotpath_scene_stock_id, hotpath_scene_stock.amount AS hotpath_scene_stock_amount"
     " \nFROM hotpath_scene_stock \nWHERE hotpath_scene_stock.id = ?", ("tea#1f",),
     "SELECT id, amount FROM stock WHERE id = 'tea'"),
    ("UPDATE hotpath_scene_stock SET amount=%s, version=%s WHERE hotpath_scene_stock.id = %s", (130, 2, "tea#1f"),
     "UPDATE stock SET amount=130, version=2 WHERE id = 'tea'"),
    ("UPDATE hotpath_scene_stock SET amount=(hotpath_scene_stock.amount + %(amount_1)s::INTEGER) "
     "WHERE hotpath_scene_stock.id = %(hotpath_scene_stock_id)s::VARCHAR",
     {"amount_1": 30, "hotpath_scene_stock_id": "tea#1f"},
     "UPDATE stock SET amount=(amount + 30) WHERE id = 'tea'"),
    ("SELECT version FROM hotpath_scene_till FORCE INDEX (PRIMARY) WHERE id = %s FOR UPDATE", ("left#1f",),
     "SELECT version FROM till WHERE id = 'left' FOR UPDATE"),
], ids=["qmark", "format", "pyformat", "hint"])
def test_a_statement_has_its_values_and_nothing_for_the_machine(statement, values, text):
    assert spelled(statement, values, "#1f") == text


@pytest.mark.parametrize(("value", "text"), [
    (None, "NULL"), (True, "true"), (7, "7"), ("it's", "'it''s'"), ("what? %s", "'what? %s'")])
def test_values_are_literals(value, text):
    assert literal(value) == text
    assert spelled("VALUES (?, ?)", (value, 1), "#1f") == f"VALUES ({text}, 1)"
