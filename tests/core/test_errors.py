import pickle

import pytest

from hotpath.core.errors import ConfigError, HotpathError, LocalProtocolError, ProtocolError, RemoteProtocolError


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


def test_a_config_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("a.yaml", 3, "via", "wrong")))
    assert (error.file, error.line, error.path, error.message) == ("a.yaml", 3, "via", "wrong")


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
