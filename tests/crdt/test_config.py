from __future__ import annotations

import pytest

from hotpath.core.config import ConfigError, dump, loads
from hotpath.crdt.config import TOKEN_VARIABLE, CrdtConfig

EXAMPLE = """
replica: a
listen: 127.0.0.1:8091
data: ./crdt-a
bias: add
token: null
peers: [{name: b, url: "http://127.0.0.1:8092", public: null}]
limits: {key: 1KiB, value: 1MiB, batch: 10000, body: 64MiB}
journal: {fsync: always, interval: 50ms, segment: 64MiB, compact: 2.0}
sync: {push: true, interval: 500ms, timeout: 5s}
clock: {max_drift: 5s, offset: 0ms}
gc: {after: 24h, interval: 60s}
changes: {keep: 65536}
threads: 4
drill: false
"""


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, CrdtConfig, file="crdt.yaml")
    return str(caught.value)


def test_the_documented_file_says_the_defaults():
    given, default = loads(EXAMPLE, CrdtConfig), CrdtConfig()
    for name in ("replica", "listen", "bias", "token", "limits", "journal", "sync", "clock", "gc", "changes",
                 "threads", "drill"):
        assert getattr(given, name) == getattr(default, name), name
    assert given.folder == default.folder == "./crdt-a"
    assert (given.peers[0].name, given.peers[0].url, given.peers[0].public) == ("b", "http://127.0.0.1:8092", None)


@pytest.mark.parametrize("public", ["http://h:1", "https://h/", "/", "/crdt/b/"])
def test_a_page_may_find_a_replica_elsewhere_or_beside_itself(public):
    (peer,) = loads(f"peers: [{{name: b, url: 'http://h:1', public: '{public}'}}]", CrdtConfig).peers
    assert peer.public == public


@pytest.mark.parametrize("public", ["//evil", "crdt/b/", "/crdt/b", "ftp://h/", "http://h/path/", "/a?b/"])
def test_what_no_page_could_find_is_refused(public):
    with pytest.raises(ConfigError, match="public"):
        loads(f"peers: [{{name: b, url: 'http://h:1', public: '{public}'}}]", CrdtConfig)


def test_what_is_dumped_is_read_back():
    config = loads(EXAMPLE, CrdtConfig)
    assert loads(dump(config), CrdtConfig) == config


def test_the_data_directory_is_named_after_the_replica():
    assert loads("replica: b2", CrdtConfig).folder == "./crdt-b2"


@pytest.mark.parametrize(("text", "seconds"), [("-10s", -10.0), ("250ms", 0.25), ("-1h", -3600.0), ("0", 0.0)])
def test_a_clock_may_be_moved_either_way(text, seconds):
    config = loads(f"clock: {{offset: {text}}}", CrdtConfig)
    assert config.clock.offset == seconds
    assert loads(dump(config), CrdtConfig).clock.offset == seconds


@pytest.mark.parametrize(("text", "where"), [
    ("replica: A", "crdt.yaml:1: replica"),
    ("replica: ninechars", "crdt.yaml:1: replica"),
    ("replica: ''", "crdt.yaml:1: replica"),
    ("bias: both", "crdt.yaml:1: bias"),
    ("peers:\n  - {name: a, url: 'http://h:1'}", "crdt.yaml:2: peers[0].name: 'a' is this replica's own name"),
    ("peers:\n  - {name: b, url: 'http://h:1'}\n  - {name: b, url: 'http://h:2'}",
     "crdt.yaml:3: peers[1].name: 'b' is there twice"),
    ("peers: [{name: b, url: 'https://h'}]", "peers[0].url"),
    ("peers: [{name: b, url: 'http://h:99999'}]", "peers[0].url"),
    ("peers: [{name: b}]", "url is missing"),
    ("limits: {key: 64k}", "limits.key: '64k' is out of range; allowed: a whole number from 1 to 65535"),
    ("limits: {value: 0}", "limits.value"),
    ("limits: {batch: 0}", "limits.batch"),
    ("journal: {fsync: sometimes}", "journal.fsync: 'sometimes' is not allowed; allowed: always, interval, off"),
    ("journal: {compact: 1}", "journal.compact"),
    ("sync: {interval: 0}", "sync.interval: 0 is not allowed"),
    ("sync: {timeout: 0}", "sync.timeout: 0 is not allowed"),
    ("gc: {interval: 0}", "gc.interval: 0 is not allowed"),
    ("clock: {offset: 10000h}", "clock.offset"),
    ("changes: {keep: 0}", "changes.keep"),
    ("threads: 0", "threads"),
    ("token: 'a b'", "token"),
    ("tokn: x", "unknown key (did you mean token?)"),
])
def test_a_mistake_is_told_with_its_place(text, where):
    assert where in error_of(text)


def test_the_token_comes_from_the_file_or_else_from_the_environment(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert CrdtConfig().secret is None
    monkeypatch.setenv(TOKEN_VARIABLE, "hush")
    assert CrdtConfig().secret == "hush"
    assert loads("token: mine", CrdtConfig).secret == "mine"


def test_an_address_that_others_reach_needs_a_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert loads("listen: ['127.0.0.1:1', '0.0.0.0:1']", CrdtConfig).exposed == 1
    assert loads("listen: ['127.0.0.1:1', '[::1]:1', 'unix:/x']", CrdtConfig).exposed is None
    assert loads("{listen: '0.0.0.0:1', token: hush}", CrdtConfig).exposed is None
