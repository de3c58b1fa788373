from __future__ import annotations

import hashlib
import io
import socket
import zipfile
from typing import Any
from urllib.parse import quote

import pytest

from tests.clients import Client, request_bytes
from tests.ide.servers import Ide, Screen, heard

JSON = ("Content-Type", "application/json")


def tag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def put(ide: Ide, files: str, path: str, data: bytes, *fields: tuple[str, str]) -> Any:
    return ide.ask("PUT", f"{files}/file?path={path}", data, fields or [("If-None-Match", "*")])


def test_a_file_is_made_replaced_and_read(ide, files):
    made = put(ide, files, "b.txt", b"two\n")
    assert (made.status, made.value("etag")) == (201, f'"{tag(b"two" + bytes([10]))}"')
    again = put(ide, files, "b.txt", b"three\n", ("If-Match", made.value("etag") or ""))
    assert (again.status, again.body) == (204, b"")
    read = ide.ask("GET", f"{files}/file?path=b.txt")
    assert (read.status, read.body, read.value("etag")) == (200, b"three\n", again.value("etag"))
    assert read.value("content-type") == "application/octet-stream"
    assert read.value("x-content-type-options") == "nosniff"
    assert read.value("content-disposition") == 'attachment; filename="b.txt"'
    head = ide.ask("HEAD", f"{files}/file?path=b.txt")
    assert (head.status, head.value("content-length"), head.body) == (200, "6", b"")


@pytest.mark.parametrize(("fields", "status", "code"), [
    ([("X", "y")], 428, "condition-required"),
    ([("If-Match", '"x"')], 412, "stale"),
    ([("If-Match", 'W/"x"')], 400, "bad-request"),
    ([("If-Match", '"x", "y"')], 400, "bad-request"),
    ([("If-Match", "x")], 400, "bad-request"),
    ([("If-None-Match", '"x"')], 400, "bad-request"),
    ([("If-Match", '"x"'), ("If-None-Match", "*")], 400, "bad-request"),
    ([("If-None-Match", "*")], 412, "stale")])
def test_a_save_says_what_it_replaces(ide, files, fields, status, code):
    current = tag(b"one\n")
    answer = put(ide, files, "a.txt", b"mine", *fields)
    assert (answer.status, answer.json()["code"]) == (status, code)
    if status == 412:
        assert answer.value("etag") == f'"{current}"'
        assert answer.json()["etag"] == current
    assert ide.ask("GET", f"{files}/file?path=a.txt").body == b"one\n"


def test_a_new_file_in_a_new_folder_is_asked_for(ide, files):
    assert put(ide, files, "deep/er/x.txt", b"").status == 404
    assert put(ide, files, "deep/er/x.txt&parents=1", b"").status == 201
    assert ide.ask("GET", f"{files}/file?path=deep/er/x.txt").body == b""


@pytest.mark.parametrize("size", [65536, 65537])
def test_a_file_has_a_largest_size(ide, files, size):
    answer = put(ide, files, f"large{size}", bytes(size))
    assert answer.status == (201 if size == 65536 else 413)
    if size > 65536:
        assert answer.json()["code"] == "too-large"


def test_a_project_has_a_largest_size(ide, files):
    etags = []
    for i in range(80):
        answer = put(ide, files, f"fill/{i}&parents=1", bytes(65536))
        if answer.status == 507:
            break
        etags.append(answer.value("etag"))
    assert answer.json()["code"] == "no-room"
    assert 0 < len(etags) < 70
    with ide.socket(f"{files}/events?since=0") as events:
        heard(events, "hello")
        for i in range(80, 100):        # it is counted anew now and then, and there may be room for one more
            answer = put(ide, files, f"fill/{i}", bytes(65536))
            if answer.status == 507:
                break
        assert heard(events, "notice")["text"] == answer.json()["detail"]
    assert ide.ask("DELETE", f"{files}/file?path=fill&recursive=1").status == 204


def test_a_save_that_is_cut_leaves_nothing(ide, files, project):
    with Client(ide.address) as client:
        head = request_bytes("PUT", f"{ide.base}{files}/file?path=cut.txt",
                             [*ide.bearer, ("If-None-Match", "*"), ("Content-Length", "1000")], None, host=ide.address)
        client.send(head + b"half")
        client.sock.shutdown(socket.SHUT_WR)
        client.rest()
    assert ide.ask("GET", f"{files}/file?path=cut.txt").status == 404
    assert {entry["name"] for entry in ide.right(200, "GET", f"{files}/tree")["entries"]} >= {"a.txt"}


def test_an_upload_that_is_cut_leaves_nothing(ide, files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("from-a-cut-archive.txt", bytes(1000))
    with Client(ide.address) as client:
        fields = [*ide.bearer, ("Content-Length", str(len(data.getvalue()) + 1))]
        client.send(request_bytes("POST", f"{ide.base}{files}/unzip?path=", fields, None, host=ide.address))
        client.send(data.getvalue())
        client.sock.shutdown(socket.SHUT_WR)
        client.rest()
    assert ide.ask("GET", f"{files}/file?path=from-a-cut-archive.txt").status == 404


def test_links_out_pipes_and_devices_are_refused_and_never_wait(ide, files, project):
    made = ide.right(201, "POST", f"{files}/run", {"command": "ln -s /etc out; ln -s a.txt in; mkfifo pipe; "
                                                              "ln -s /dev/zero device; ln -s loop loop"})
    screen = Screen(ide, project["id"], made["id"])
    assert screen.until_closed() == 1000
    screen.close()
    for path in "out/passwd", "device":
        for method in "GET", "PUT":
            answer = ide.ask(method, f"{files}/file?path={path}", b"x" if method == "PUT" else None,
                             [("If-None-Match", "*")] if method == "PUT" else [])
            assert (answer.status, answer.json()["code"]) == (403, "outside-project"), (method, path)
    assert ide.right(409, "GET", f"{files}/file?path=pipe")["code"] == "not-a-file"
    assert ide.ask("GET", f"{files}/file?path=loop").status in (403, 404, 409)
    assert ide.right(200, "GET", f"{files}/file?path=in").body == b"one\n"
    kinds = {entry["name"]: entry["kind"] for entry in ide.right(200, "GET", f"{files}/tree")["entries"]}
    assert {kinds[name] for name in ("out", "in", "device", "loop")} == {"link"}
    assert kinds["pipe"] == "other"
    for name in "out", "in", "device", "loop", "pipe":
        assert ide.ask("DELETE", f"{files}/file?path={name}").status == 204
    assert ide.ask("GET", f"{files}/file?path=a.txt").status == 200


@pytest.mark.parametrize(("wanted", "status", "said"), [
    ("bytes=0-2", 206, b"012"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"), ("bytes=5-100", 206, b"56789"),
    ("bytes=10-", 416, None), ("bytes=-0", 416, None), ("bytes=3-2", 200, b"0123456789"),
    ("bytes=0-1,3-4", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"),
    ("bytes=99999999999999999999-", 200, b"0123456789")])
def test_a_part_of_a_file(ide, files, wanted, status, said):
    put(ide, files, "digits", b"0123456789")
    answer = ide.ask("GET", f"{files}/file?path=digits", None, [("Range", wanted)])
    assert answer.status == status
    if status == 416:
        assert answer.value("content-range") == "bytes */10"
        assert answer.json()["code"] == "range-not-satisfiable"
    else:
        assert answer.body == said
    etag = answer.value("etag") or '"x"'
    old = ide.ask("GET", f"{files}/file?path=digits", None, [("Range", "bytes=0-0"), ("If-Range", '"old"')])
    assert (old.status, old.body) == (200, b"0123456789")
    if status != 416:
        same = ide.ask("GET", f"{files}/file?path=digits", None, [("Range", "bytes=0-0"), ("If-Range", etag)])
        assert (same.status, same.body, same.value("content-range")) == (206, b"0", "bytes 0-0/10")


def test_what_is_known_is_not_sent_again(ide, files):
    etag = ide.ask("GET", f"{files}/file?path=a.txt").value("etag") or ""
    for known in etag, f"W/{etag}", f'"x", {etag}', "*":
        answer = ide.ask("GET", f"{files}/file?path=a.txt", None, [("If-None-Match", known)])
        assert (answer.status, answer.body, answer.value("etag")) == (304, b"", etag)
    assert ide.ask("GET", f"{files}/file?path=a.txt", None, [("If-None-Match", '"x"')]).status == 200


@pytest.mark.parametrize(("name", "said"), [
    (b"plain name.txt", 'attachment; filename="plain name.txt"'),
    ("näme.txt".encode(), "attachment; filename=\"n_me.txt\"; filename*=UTF-8''n%C3%A4me.txt"),
    (b'q"uote;\\.txt', "attachment; filename=\"q_uote__.txt\"; filename*=UTF-8''q%22uote%3B%5C.txt"),
    (b"100%+&=#?.txt", "attachment; filename=\"100______.txt\"; filename*=UTF-8''100%25%2B%26%3D%23%3F.txt"),
    (b"<img src=x onerror=alert(1)>", None),
    (b"\xff\xfe.bin", "attachment; filename=\"__.bin\"; filename*=UTF-8''%EF%BF%BD%EF%BF%BD.bin")])
def test_any_name_works_and_is_told_as_it_is(ide, files, name, said):
    path = quote(name, safe="")
    assert put(ide, files, path, name).status == 201
    answer = ide.ask("GET", f"{files}/file?path={path}")
    assert answer.body == name
    if said is not None:
        assert answer.value("content-disposition") == said
    entries = ide.right(200, "GET", f"{files}/tree")["entries"]
    found = [entry for entry in entries if entry["name"] == name.decode(errors="replace")]
    assert len(found) == 1
    assert ide.ask("GET", f"{files}/file?path={found[0]['href']}").body == name
    assert ide.ask("DELETE", f"{files}/file?path={found[0]['href']}").status == 204


@pytest.mark.parametrize("path", [
    "", "/etc/passwd", "../x", "a/../../x", "a/./b", ".", "..", "a//b", "a/", "%00", "a%00b", "%2e%2e/x",
    "..%2fx", "a%2f..%2f..%2fx", "x" * 256, "/".join(["x" * 100] * 41)])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_no_path_is_refused(ide, files, path, method):
    answer = ide.ask(method, f"{files}/file?path={path}", b"x" if method == "PUT" else None, [("If-None-Match", "*")])
    assert (answer.status, answer.json()["code"]) == (400, "bad-path")


def test_the_path_is_decoded_once(ide, files):
    assert put(ide, files, "%2525", b"twice").status == 201
    assert ide.right(200, "GET", f"{files}/file?path=%2525").body == b"twice"
    assert ide.ask("GET", f"{files}/file?path=%25").status == 404
    assert ide.ask("DELETE", f"{files}/file?path=%2525").status == 204


def test_folders_are_made_moved_copied_and_removed(ide, files):
    assert ide.ask("POST", f"{files}/dir?path=one").status == 201
    assert ide.right(409, "POST", f"{files}/dir?path=one")["code"] == "exists"
    assert put(ide, files, "one/x.txt", b"x").status == 201
    assert ide.ask("POST", f"{files}/copy", {"from": "one", "to": "two"}).status == 201
    assert ide.right(409, "POST", f"{files}/copy", {"from": "one", "to": "two"})["code"] == "exists"
    assert ide.right(409, "POST", f"{files}/move", {"from": "one", "to": "one/in"})["code"] == "into-itself"
    assert ide.ask("POST", f"{files}/move", {"from": "two/x.txt", "to": "one/x.txt", "overwrite": True}).status == 204
    assert ide.right(409, "DELETE", f"{files}/file?path=one")["code"] == "not-empty"
    assert ide.ask("DELETE", f"{files}/file?path=one&recursive=1").status == 204
    assert ide.ask("DELETE", f"{files}/file?path=two").status == 204
    assert ide.ask("DELETE", f"{files}/file?path=two").status == 404


@pytest.mark.parametrize(("body", "status"), [
    ({"from": "", "to": "x"}, 400), ({"from": "a.txt", "to": ""}, 400), ({"from": "a.txt"}, 422),
    ({"from": "a.txt", "to": "x", "more": 1}, 422), ({"from": "../a", "to": "x"}, 400), ([], 422),
    ({"from": "a.txt", "to": "b%0Ac"}, 400)])
def test_a_move_is_checked(ide, files, body, status):
    assert ide.ask("POST", f"{files}/move", body).status == status


def test_removal_honours_a_condition(ide, files):
    put(ide, files, "gone.txt", b"x")
    assert ide.ask("DELETE", f"{files}/file?path=gone.txt", None, [("If-Match", '"y"')]).status == 412
    answer = ide.ask("DELETE", f"{files}/file?path=gone.txt", None, [("If-Match", f'"{tag(b"x")}"')])
    assert answer.status == 204


def test_a_folder_is_no_file(ide, files):
    ide.ask("POST", f"{files}/dir?path=folder")
    answer = ide.ask("GET", f"{files}/file?path=folder")
    assert (answer.status, answer.json()["code"]) == (409, "not-a-file")


def test_the_tree_says_what_is_there(ide, files):
    ide.ask("POST", f"{files}/dir?path=tree")
    put(ide, files, "tree/z.txt", b"z")
    ide.ask("POST", f"{files}/dir?path=tree/sub")
    said = ide.right(200, "GET", f"{files}/tree?path=tree")
    assert (said["path"], said["truncated"]) == ("tree", False)
    assert [(entry["name"], entry["kind"]) for entry in said["entries"]] == [("sub", "dir"), ("z.txt", "file")]
    assert set(said["entries"][1]) >= {"name", "path", "href", "kind", "size", "mtime"}
    assert ide.ask("GET", f"{files}/tree?path=nothing").status == 404
    assert ide.ask("GET", f"{files}/tree?path=a.txt").status == 409


@pytest.mark.parametrize("query", [
    "tree?depth=x", "tree?depth=0", "tree?depth=1000", "tree?path=a&path=b", "tree?path=%ff%", "zip?all=2",
    "search?q=", "search?q=a&regex=yes", "search", "search?q=%ff", "file?path=a.txt&parents=maybe"])
def test_bad_queries_are_refused(ide, files, query):
    method = "PUT" if query.startswith("file") else "GET"
    answer = ide.ask(method, f"{files}/{query}", b"" if method == "PUT" else None, [("If-None-Match", "*")])
    assert answer.status in (400, 404) if "%ff%" in query else answer.status == 400, query


def test_out_as_an_archive_and_in_again(ide, files):
    ide.ask("POST", f"{files}/dir?path=packed")
    put(ide, files, "packed/x.txt", b"x" * 1000)
    put(ide, files, f"packed/{quote('ä.txt')}", b"umlaut")
    answer = ide.ask("GET", f"{files}/zip?path=packed")
    assert (answer.status, answer.value("content-type")) == (200, "application/zip")
    assert answer.value("content-disposition") == 'attachment; filename="packed.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert sorted(archive.namelist()) == ["x.txt", "ä.txt"]
    ide.ask("POST", f"{files}/dir?path=unpacked")
    said = ide.right(200, "POST", f"{files}/unzip?path=unpacked", answer.body)
    assert said == {"files": 2, "bytes": 1006}
    assert ide.ask("GET", f"{files}/file?path=unpacked/x.txt").body == b"x" * 1000
    assert ide.ask("GET", f"{files}/zip?path=nothing").status == 404


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_bad_archive_leaves_nothing(ide, files, name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr(name, "bad")
    said = ide.right(422, "POST", f"{files}/unzip?path=", data.getvalue())
    assert (said["code"], said["entry"]) == ("bad-archive", name)
    assert ide.ask("GET", f"{files}/file?path=good.txt").status == 404
    assert ide.right(422, "POST", f"{files}/unzip?path=", b"no archive")["code"] == "bad-archive"


def test_an_upload_has_a_largest_size(ide, files):
    assert ide.right(413, "POST", f"{files}/unzip?path=", bytes(256 * 1024 + 1))["code"] == "too-large"


def test_search_finds_and_is_bounded(ide, files):
    put(ide, files, "s.txt", b"first\nthe needle here\nNEEDLE\n")
    said = ide.right(200, "GET", f"{files}/search?q=needle")
    assert {(match["path"], match["line"], match["column"]) for match in said["matches"]} >= {
        ("s.txt", 2, 5), ("s.txt", 3, 1)}
    exact = ide.right(200, "GET", f"{files}/search?q=needle&case=1")
    assert {(match["path"], match["line"], match["length"]) for match in exact["matches"]} == {("s.txt", 2, 6)}
    assert ide.right(422, "GET", f"{files}/search?q=(&regex=1")["code"] == "invalid"
    assert "s.txt" in str(ide.right(200, "GET", f"{files}/names")["names"])


def test_earlier_contents_are_there(ide, files):
    first = put(ide, files, "h.txt", b"first")
    put(ide, files, "h.txt", b"second", ("If-Match", first.value("etag") or ""))
    ide.ask("DELETE", f"{files}/file?path=h.txt")
    versions = ide.right(200, "GET", f"{files}/history?path=h.txt")["versions"]
    assert {version["etag"] for version in versions} == {tag(b"first"), tag(b"second")}
    assert ide.ask("GET", f"{files}/history/{tag(b'first')}?path=h.txt").body == b"first"
    for bad in "0" * 32, "x", "..", "%2e%2e%2fproject.json":
        assert ide.ask("GET", f"{files}/history/{bad}?path=h.txt").status == 404
