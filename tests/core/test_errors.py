import pickle

import pytest

from hotpath.core.errors import (
    ConfigError,
    ConnectionClosed,
    DuplicateKey,
    HotpathError,
    InvalidRow,
    KeyExists,
    ListenError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    StampMismatch,
    UncertainOutcome,
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("a.yaml", 3, "a.b", "wrong; allowed: right"), "a.yaml:3: a.b: wrong; allowed: right"),
        (ConfigError("a.yaml", 3, "", "not YAML"), "a.yaml:3: not YAML"),
        (ConfigError("--workers", 0, "", "0 is not allowed"), "--workers: 0 is not allowed"),
    ],
)
def test_a_config_error_says_where_and_what(error: ConfigError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("error", [
    ConfigError("a.yaml", 3, "via", "wrong"),
    ListenError("127.0.0.1:80", "taken"),
    ConnectionClosed(4000, "enough"),
    KeyExists("key", "stamp"),
    StampMismatch("stamp"),
    DuplicateKey("table", 7),
    InvalidRow([{"path": "a", "message": "wrong"}]),
    UncertainOutcome("shard-1", "gone", retry_after_s=7.0),
    RemoteProtocolError("too large", 431),
], ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_between_processes(error: HotpathError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_protocol_error_carries_the_status_to_answer_with() -> None:
    assert RemoteProtocolError("too large", 431).error_status_hint == 431
    assert RemoteProtocolError("bad").error_status_hint == 400


def test_the_two_protocol_errors_are_told_apart() -> None:
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert issubclass(LocalProtocolError, ProtocolError)
    assert issubclass(ProtocolError, HotpathError)


def test_somebody_is_to_blame_for_a_protocol_error():
    with pytest.raises(TypeError):
        ProtocolError("nobody's")
