"""Errors as problems."""
import json

import pytest
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge

from hotpath.chat.api.problems import Refusal, http_problem, invalid, problem


def test_a_problem_says_who_must_act():
    answer = problem(409, "the name ann is taken")
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert json.loads(answer.data) == {"type": "about:blank", "title": "Conflict", "status": 409,
                                       "detail": "the name ann is taken"}


@pytest.mark.parametrize(("status", "retry_after_s", "told"), [
    (429, 0.01, "1"), (429, 59.2, "60"), (503, None, "1"), (503, 7, "7"), (409, None, None)])
def test_who_should_come_back_is_told_when(status, retry_after_s, told):
    assert problem(status, "x", retry_after_s=retry_after_s).headers.get("Retry-After") == told


def test_401_says_how_to_log_in():
    assert problem(401, "x").headers["WWW-Authenticate"].startswith("Bearer ")


def test_fields_are_named_in_words_and_in_the_list():
    refusal = invalid(("name", "required"), ("", "the query is no UTF-8"))
    assert (refusal.status, refusal.detail) == (422, "name: required; the query is no UTF-8")
    assert refusal.errors == [{"field": "name", "what": "required"}, {"field": "", "what": "the query is no UTF-8"}]


def test_what_werkzeug_refuses_is_a_problem_too():
    answer = http_problem(MethodNotAllowed(valid_methods=["POST", "GET"]))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert json.loads(http_problem(RequestEntityTooLarge()).data)["status"] == 413


def test_a_refusal_is_an_error_of_the_clients():
    assert Refusal(403, "no").errors == []
