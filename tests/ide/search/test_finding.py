"""Finding text in real folders, through the process that does it."""
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from hotpath.ide.errors import BadRequest, Invalid, NotAFolder, NotFound, OutsideProject, SearchTooLong, TooMany
from hotpath.ide.search import Query, find, finding
from tests.waiting import DEADLINE_S

AS_ROOT = os.geteuid() == 0


@dataclass
class Limits:
    search: float = 20.0
    file: int = 100_000


def places(root, text, *, limits=None, ignore=(), **options):
    """(path, line, column, length) of each match."""
    answer = find(root, Query(text, **options), ignore, limits or Limits())
    assert answer["truncated"] is False
    return [(m["path"], m["line"], m["column"], m["length"]) for m in answer["matches"]]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "sub" / "node_modules").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("Hello world\r\nhello, hello\n\nwordy word\n")
    (tmp_path / "sub" / "b.txt").write_text("grüße hello\n")
    (tmp_path / "sub" / "node_modules" / "c.txt").write_text("hello\n")
    return tmp_path


def test_the_text_itself_in_any_case(root):
    assert places(root, "HELLO", ignore=("node_modules",)) == [
        ("a.txt", 1, 1, 5), ("a.txt", 2, 1, 5), ("a.txt", 2, 8, 5), ("sub/b.txt", 1, 7, 5)]


def test_case_matters_when_asked(root):
    assert places(root, "Hello", case=True) == [("a.txt", 1, 1, 5)]


def test_whole_words(root):
    assert places(root, "word", word=True) == [("a.txt", 4, 7, 4)]
    assert places(root, "wor.", regex=True, word=True) == [("a.txt", 4, 7, 4)]


def test_a_regular_expression_sees_line_by_line(root):
    assert places(root, r"^h\w+", regex=True, path=b"") == [
        ("a.txt", 1, 1, 5), ("a.txt", 2, 1, 5), ("sub/node_modules/c.txt", 1, 1, 5)]
    assert places(root, r"world$", regex=True) == [("a.txt", 1, 7, 5)]
    assert places(root, r"world\s+hello", regex=True) == []
    assert places(root, r"(?i)GRÜSSE|GRÜẞE|grüße", regex=True, word=True) == [("sub/b.txt", 1, 1, 5)]


def test_the_line_is_shown(root):
    match = find(root, Query("grüße"), (), Limits())["matches"][0]
    assert match == {"path": "sub/b.txt", "href": "sub/b.txt", "line": 1, "column": 1, "length": 5,
                     "text": "grüße hello", "text_column": 1}


def test_only_in_the_folder_that_was_named(root):
    assert places(root, "hello", path=b"sub/node_modules") == [("sub/node_modules/c.txt", 1, 1, 5)]
    with pytest.raises(NotFound):
        places(root, "hello", path=b"none")
    with pytest.raises(NotAFolder):
        places(root, "hello", path=b"a.txt")


def test_links_are_not_followed(root):
    outside = root.parent / f"{root.name}.outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("hello secret\n")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret.txt")
    (root / "inner").symlink_to("sub")
    assert places(root, "secret") == []
    with pytest.raises(OutsideProject):
        places(root, "secret", path=b"folder")
    assert places(root, "grüße") == [("sub/b.txt", 1, 1, 5)]
    assert places(root, "grüße", path=b"inner") == [("inner/b.txt", 1, 1, 5)]


def test_binary_large_and_odd_files_are_passed_by(root):
    (root / "binary").write_bytes(b"hello \0 unique")
    (root / "large").write_bytes(b"unique" + bytes(100_000))
    (root / "larger").write_bytes(b"unique" + b" " * 100_000)
    os.mkfifo(root / "pipe")
    (root / "ok").write_bytes(b"\xef\xbb\xbfunique \xff\n")
    assert places(root, "unique") == [("ok", 1, 1, 6)]


def test_a_name_that_is_no_utf8_has_its_href(root):
    with open(bytes(root) + b"/\xff", "wb") as file:
        file.write(b"unique")
    match = find(root, Query("unique"), (), Limits())["matches"][0]
    assert (match["path"], match["href"]) == ("\N{REPLACEMENT CHARACTER}", "%FF")


def test_of_a_long_line_the_part_around_the_match_is_shown(root):
    (root / "long").write_text("x" * 50_000 + "unique" + "y" * 40_000)
    match = find(root, Query("unique"), (), Limits())["matches"][0]
    assert (match["line"], match["column"], match["length"]) == (1, 50_001, 6)
    assert len(match["text"]) == 300
    at = match["column"] - match["text_column"]
    assert match["text"][at:at + match["length"]] == "unique"


def test_too_many_matches_are_cut_and_it_is_said(root):
    (root / "many").write_text("q1z " * 3000)
    answer = find(root, Query("q1z"), (), Limits())
    assert len(answer["matches"]) == finding.MAX_MATCHES
    assert answer["truncated"] is True


@pytest.mark.parametrize(("pattern", "said"), [
    ("a(b", "missing ), unterminated subpattern at character 2"),
    ("a)(b", "unbalanced parenthesis at character 2"),
    ("*", "nothing to repeat at character 1"),
    ("[a", "unterminated character set at character 1"),
    ("a{99999999999}", "repeated too often"),
    ("(" * 500 + ")" * 500, "too deep"),
])
def test_a_bad_pattern_is_told_with_its_place(root, pattern, said):
    with pytest.raises(Invalid) as caught:
        find(root, Query(pattern, regex=True, word=True), (), Limits())
    assert said in caught.value.detail


@pytest.mark.parametrize("text", ["", "x" * 1001, "\ud800"], ids=["none", "much", "half"])
def test_what_is_no_text_to_look_for_is_refused(root, text):
    with pytest.raises(BadRequest, match="q "):
        find(root, Query(text), (), Limits())


def hang(root, limit_s, caught):
    """Search for what takes longer than the universe lasts."""
    try:
        find(root, Query(r"(a+)+$", regex=True), (), Limits(search=limit_s))
    except SearchTooLong as error:
        caught.append(error)


def test_a_catastrophic_expression_ends_at_its_limit_and_others_are_answered_meanwhile(root):
    (root / "victim").write_text("a" * 40 + "b\n")
    caught = []
    hanging = threading.Thread(target=hang, args=(root, 1.0, caught))
    hanging.start()
    assert places(root, "world") == [("a.txt", 1, 7, 5)]
    hanging.join(20)
    assert len(caught) == 1
    assert caught[0].status == 422
    assert "limits.search" in caught[0].detail


def test_no_more_searches_than_leave_room_for_others(root):
    with patch.object(finding, "_running", threading.Semaphore(0)), pytest.raises(TooMany) as caught:
        find(root, Query("x"), (), Limits())
    assert dict(caught.value.headers)["Retry-After"]


def test_an_expression_that_eats_memory_ends_itself(root):
    (root / "victim").write_text("a" * 90_000)
    with pytest.raises(SearchTooLong):
        find(root, Query(r"(?:(a)|b|ab)*?(?:(?:a*?)*?)*?$x", regex=True), (), Limits(search=2.0))


@pytest.mark.skipif(not AS_ROOT, reason="needs root: the search becomes the owner of the project")
def test_started_by_root_it_reads_as_the_owner(root):
    for path in (root, root / "sub", root / "a.txt"):
        os.chown(path, 1000, 1000)
    (root / "secret").write_text("hello of root\n")
    (root / "secret").chmod(0o600)
    assert {place[0] for place in places(root, "hello")} == {"a.txt", "sub/b.txt", "sub/node_modules/c.txt"}
    seen = []
    real = subprocess.Popen

    def popen(*args, **options):
        seen.append((real(*args, **options), options["env"]))
        return seen[-1][0]

    (root / "victim").write_text("a" * 40 + "b\n")
    with patch.object(finding.subprocess, "Popen", popen):
        hanging = threading.Thread(target=hang, args=(root, DEADLINE_S, []))
        hanging.start()
        deadline = time.monotonic() + DEADLINE_S / 2
        status = {}
        while status.get("Uid", "0").split()[0] != "1000" and time.monotonic() < deadline:
            if seen:
                with open(f"/proc/{seen[0][0].pid}/status") as file:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        for process, _ in seen:
            process.kill()              # it has been looked at
        hanging.join()
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1000"] * 4
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert seen[0][1] == {}
