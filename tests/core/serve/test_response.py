from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.errors import LocalProtocolError
from hotpath.core.serve import FileResponse, Response, problem
from hotpath.core.serve.response import field_line


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_field_is_one_line_or_refused(name: str, value: str):
    try:
        line = field_line(name, value)
    except LocalProtocolError:
        return
    assert line == f"{name}: {value}\r\n".encode("latin-1")
    assert not set(line[:-2]) & set(b"\r\n\0")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "DATE"])
def test_framing_is_the_servers_to_say(name: str):
    with pytest.raises(LocalProtocolError, match="server's"):
        Response("", headers={name: "1"})


def test_a_type_is_guessed_for_text_and_bytes():
    assert Response("a").headers == [("Content-Type", "text/plain; charset=utf-8")]
    assert Response(b"a").headers == [("Content-Type", "application/octet-stream")]
    assert Response("a", content_type="text/html").headers == [("Content-Type", "text/html")]
    assert Response().headers == []


def test_fields_may_come_twice_and_later():
    response = Response("", 200, [("Set-Cookie", "a"), ("Set-Cookie", "b")], "x/y")
    response.add_header("X-Later", 5)
    assert response.headers == [("Content-Type", "x/y"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("X-Later", "5")]


@pytest.mark.parametrize("status", [100, 101, 199, 600, 0])
def test_only_a_final_status_is_one(status: int):
    with pytest.raises(ValueError, match="status"):
        Response("", status)


def test_no_content_has_no_content():
    with pytest.raises(LocalProtocolError, match="no body"):
        Response("x", 204)


def test_a_body_is_something_to_send():
    with pytest.raises(TypeError, match="int"):
        Response(5)     # type: ignore[arg-type]


def test_a_problem_says_what_is_known():
    made = problem(409, "Taken", "somebody has it", by="them")
    assert made.body == b'{"type":"about:blank","title":"Taken","status":409,"detail":"somebody has it","by":"them"}'
    assert made.headers == [("Content-Type", "application/problem+json")]


def test_a_file_response_owns_its_descriptor(tmp_path: Path):
    (tmp_path / "a").touch()
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    FileResponse(fd, 0, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
