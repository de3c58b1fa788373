"""Which names are found for quick open."""
from hotpath.ide.search import names


def test_files_are_named_and_the_upper_ones_first(tmp_path):
    for path in ("a/b/c.py", "z.py", "a/y.py", "node_modules/x.js", "a/node_modules/x.js", "b/__pycache__/q.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    (tmp_path / "link").symlink_to("z.py")
    (tmp_path / "out").symlink_to("/etc")
    assert names(tmp_path, ("node_modules", "__pycache__"), 100) == {
        "names": ["z.py", "a/y.py", "a/b/c.py"], "truncated": False}


def test_no_more_than_asked_for(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}").write_bytes(b"")
    assert names(tmp_path, (), 5) == {"names": ["0", "1", "2", "3", "4"], "truncated": False}
    assert names(tmp_path, (), 4) == {"names": ["0", "1", "2", "3"], "truncated": True}


def test_what_cannot_be_typed_is_left_out(tmp_path):
    for name in (b"a\xff", "ü".encode()):
        with open(bytes(tmp_path) + b"/" + name, "wb"):
            pass
    assert names(tmp_path, (), 5)["names"] == ["ü"]
