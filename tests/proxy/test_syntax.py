from collections.abc import Callable

import pytest

from hotpath.core.config import Scalar
from hotpath.proxy import syntax


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (syntax.read_host_pattern, "A.Example", "a.example"),
        (syntax.read_host_pattern, "*.b.example", "*.b.example"),
        (syntax.read_host_pattern, "[::1]", "[::1]"),
        (syntax.read_method, "PURGE", "PURGE"),
        (syntax.read_method, "purge", "purge"),
        (syntax.read_balance, "p2c", "p2c"),
        (syntax.read_balance, "hash:cookie:sid", "hash:cookie:sid"),
        (syntax.read_limit_key, "header:X-User", "header:X-User"),
        (syntax.read_log_format, "json", "json"),
        (syntax.read_log_format, '{client} "{method}" {status}', '{client} "{method}" {status}'),
        (syntax.read_redirect_target, "https://x{path}", "https://x{path}"),
        (syntax.read_path_pattern, r"^/u/\d+$", r"^/u/\d+$"),
    ],
)
def test_a_word_is_read(read: Callable[[Scalar], str], text: str, value: str) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (syntax.read_host_pattern, "*"), (syntax.read_host_pattern, "a.*.b"), (syntax.read_host_pattern, "a:80"),
        (syntax.read_host_pattern, ""), (syntax.read_host_pattern, 5), (syntax.read_host_pattern, "bücher.example"),
        (syntax.read_method, "get"), (syntax.read_method, "A B"), (syntax.read_method, None), (syntax.read_method, ""),
        (syntax.read_balance, "hash"), (syntax.read_balance, "hash:"), (syntax.read_balance, "hash:header:"),
        (syntax.read_balance, "hash:route"), (syntax.read_balance, "p2c:host"), (syntax.read_balance, True),
        (syntax.read_limit_key, "query:x"), (syntax.read_limit_key, "header:"), (syntax.read_limit_key, "header:a b"),
        (syntax.read_limit_key, "client_ip:x"), (syntax.read_limit_key, "header:a:b"),
        (syntax.read_log_format, "combind"), (syntax.read_log_format, "{stat}"), (syntax.read_log_format, "{status}\n"),
        (syntax.read_log_format, "{status"), (syntax.read_log_format, "{{status}}"), (syntax.read_log_format, ""),
        (syntax.read_redirect_target, "https://x{host}"), (syntax.read_redirect_target, "https://x\r\nA: b"),
        (syntax.read_redirect_target, ""), (syntax.read_redirect_target, "/ü"),
        (syntax.read_path_pattern, 5),
    ],
)
def test_what_is_no_such_word_is_refused_with_what_is_allowed(read: Callable[[Scalar], str], value: Scalar) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        read(value)


def test_a_method_in_the_wrong_case_is_told_the_right_one() -> None:
    with pytest.raises(ValueError, match="allowed: GET "):
        syntax.read_method("get")


def test_a_misspelt_field_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"did you mean \{status\}"):
        syntax.read_log_format("{statsu}")
