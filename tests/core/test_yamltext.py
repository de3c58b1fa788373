import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.errors import ConfigError
from hotpath.core.yamltext import MAX_NODES, Entries, Items, Leaf, Node, Plain, dotted, parse, unparse


def plain(node: Node) -> Plain:
    if isinstance(node, Leaf):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(below) for key, (_, below) in node.entries.items()}


def failure(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"), ("on", "on"), ("NO", "NO"), ("off", "off"), ("y", "y"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("0b1", "0b1"), ("+12", 12),
        ("2024-01-01", "2024-01-01"), ("=", "="), ("<<", "<<"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("''", ""), ("'1'", "1"), ("!!str 1", "1"),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-.inf", -math.inf), ("1:2:3", "1:2:3"), ("1" * 5000, "1" * 5000),
        ("0x" + "f" * 398, 16**398 - 1), ("1" * 401, "1" * 401),
    ],
)
def test_scalars_mean_what_the_core_schema_says(text: str, value: object) -> None:
    node = parse(f"a: {text}", "x.yaml")
    assert isinstance(node, Entries)
    below = node.entries["a"][1]
    assert isinstance(below, Leaf)
    assert below.value == value
    assert type(below.value) is type(value)


def test_nodes_know_their_lines() -> None:
    root = parse("a: 1\nb:\n  - 2\n  - c: 3\n", "x.yaml")
    assert root == Entries(1, {
        "a": (1, Leaf(1, 1)),
        "b": (2, Items(3, (Leaf(3, 2), Entries(4, {"c": (4, Leaf(4, 3))})))),
    })


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse("# nothing\n", "x.yaml") == Entries(1, {})


def test_a_repeated_key_is_refused_where_it_repeats() -> None:
    error = failure("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert str(error) == "x.yaml:4: a.b: given twice; the first stands on line 2"


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb: [", 2, "not YAML"),
        ("a: 1\n\tb: 2", 2, "not YAML"),
        ("a: 1\n--- \nb: 2", 2, "expected a single document"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: 1\n[b]: 2", 2, "a key is a list"),
        ("a: !!python/object/apply:os.system [x]", 1, "tag"),
        ("a: !!int 3", 1, "tag"),
        ('a: "\\0"', 1, "NUL"),
        ('a: "\\ud800"', 1, "surrogate"),
        ("\x01", 1, "not YAML"),
        ("a: &x [*x]", 1, "nested too deeply"),
        ("[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, part: str) -> None:
    error = failure(text)
    assert error.line == line
    assert part in error.message


def test_aliases_cannot_spell_out_a_billion_laughs() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert f"more than {MAX_NODES}" in failure(text).message


def test_variables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTPATH_PORT", "8080")
    monkeypatch.setenv("HOTPATH_EMPTY", "")
    monkeypatch.delenv("HOTPATH_UNSET", raising=False)
    text = """
    plain: ${HOTPATH_PORT}
    quoted: "${HOTPATH_PORT}"
    inside: 127.0.0.1:${HOTPATH_PORT}
    unset: ${HOTPATH_UNSET:-7}
    empty: a${HOTPATH_EMPTY:-b}
    kept: a${HOTPATH_EMPTY}
    escaped: $${HOTPATH_PORT}
    dollar: ^/a$
    """
    assert plain(parse(text, "x.yaml")) == {
        "plain": 8080, "quoted": "8080", "inside": "127.0.0.1:8080", "unset": 7, "empty": "ab", "kept": "a",
        "escaped": "${HOTPATH_PORT}", "dollar": "^/a$",
    }


def test_what_a_variable_holds_is_never_read_as_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTPATH_X", "1\nb: [2, ${HOTPATH_X}]")
    assert plain(parse("a: ${HOTPATH_X}", "x.yaml")) == {"a": "1\nb: [2, ${HOTPATH_X}]"}


@pytest.mark.parametrize("text", ["${HOTPATH_UNSET}", "${", "${1}", "${A B}"])
def test_a_variable_that_cannot_be_filled_in_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOTPATH_UNSET", raising=False)
    error = failure(f"a:\n  b: '{text}'")
    assert (error.line, error.path) == (2, "a.b")
    assert "allowed: " in error.message


def test_a_path_is_written_with_dots_and_indexes() -> None:
    assert dotted(("upstreams", "api", "servers", 0, "address")) == "upstreams.api.servers[0].address"
    assert dotted(()) == ""


def test_a_path_stays_on_its_line() -> None:
    assert dotted(("a", "b\u2028c")) == r"a.'b\u2028c'"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(-10**20, 10**20) | st.floats(allow_nan=False) | TEXT
TREES = st.recursive(SCALARS, lambda below: st.lists(below) | st.dictionaries(TEXT, below), max_leaves=10)


@given(st.dictionaries(TEXT, TREES))
def test_what_is_written_reads_back(tree: Plain) -> None:
    assert plain(parse(unparse(tree), "x.yaml")) == tree


@given(st.text() | st.text(st.sampled_from("ab01:-[]{},&*!|>'\"%@`#\n\t ?.~${}\\x"), max_size=40))
def test_any_text_gives_a_tree_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text, "x.yaml")
