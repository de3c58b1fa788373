import pytest

from hotpath.proxy.pattern import fault_of


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/u/\d+$", r"^/(.*)/(.*)$", r"^/[^/]+/[^/]+/[^/]+/x$", r"^/[^/]+/([^/]+)/([^/]+)/x$", r"^(?:[0-9a-f]{32}/)+",
        r"(?i)^/img/(\w+)\.(png|jpg)$", r"(a{2}){3}", r"(?<!a)b", r"^/(?:v1|v2)/(?:x|yy|zz)(/.*)?$",
        r"^[\d_-]+/\s*/\D+1",
        r"\.php$", r"/admin/.*", "", "a", "(?:)", r"^(a)?(?(1)b|c)", r"^[^1]+1[^2]+2[^3]+3[^4]+4", r"^\W+a\D+1\S+ ",
    ],
)
def test_a_harmless_pattern_is_let_through(pattern: str) -> None:
    assert fault_of(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$", r"(a|ab)*c", r"(a?){50}", r"((a{1,100}))*", r"(?:/[a-z]+)*", r"(?:[a-z]+/)*", r"(?=(a+)+)b",
        r"(?x: ( a + ) +)", r"(?>(a+)+)b", r"a?" * 30 + "a" * 30, r"((a?){9}){9}", r"(a*?)*?$", r"(?P<x>a+)+",
        r"(?:(?:(?:a+)))+b", r"(.+)+", r"(?:a|aa){25}b", r"(?i:(A|ab)*b)",
    ],
)
def test_a_pattern_that_can_explode_is_refused(pattern: str) -> None:
    assert "for ever" in fault_of(f"^{pattern}")


@pytest.mark.parametrize("pattern", [r"\b.*x.*y$", r"\B.*x.*y$", r".*x.*y$"])
def test_only_what_begins_at_the_beginning_has_an_anchor(pattern: str) -> None:
    assert "a ^ in front" in fault_of(pattern)
    assert fault_of(f"^{pattern}") == fault_of(rf"\A{pattern}") == ""


@pytest.mark.parametrize(
    "pattern",
    [
        r"^.*.*.*x", r"^\d+\d+\d+", r"^a+a+a+$", r"(?i)^a*Aa*Aa*A", r"^(\w*)(\w*)(\w*)-", r"(.*)x(.*)y$",
        r"^.*.*x{1000}y",
    ],
)
def test_a_third_factor_is_refused(pattern: str) -> None:
    assert "two repeats" in fault_of(pattern)


@pytest.mark.parametrize("pattern", ["(", "[", "a{99999999999}", "*", "(?P<1>a)", r"\8", "(?z)", "a**"])
def test_a_pattern_that_does_not_compile_is_refused(pattern: str) -> None:
    assert "does not compile" in fault_of(pattern)


def test_a_pattern_without_end_is_refused() -> None:
    assert "1024" in fault_of("(" * 1000 + ")" * 1000)
