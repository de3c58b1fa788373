import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.config import (
    OFF,
    ONE_OR_MANY,
    Address,
    ConfigError,
    Duration,
    Flag,
    Problem,
    Rate,
    Section,
    Size,
    blame,
    dump,
    load,
    loads,
    plain,
    spelled,
)


def read_lower(value: object) -> str:
    if isinstance(value, str) and value.islower():
        return value
    raise ValueError(f"{value!r} is not in lower case; allowed: a to z")


Lower = Annotated[str, spelled(read_lower)]


class Server(Section, frozen=True):
    short: ClassVar = "address"

    address: Address
    weight: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Journal(Section, frozen=True):
    path: Annotated[str, msgspec.Meta(min_length=1)] = "-"
    flush: Duration = 1.0


class Group(Section, frozen=True):
    servers: Annotated[tuple[Server, ...], msgspec.Meta(min_length=1)]
    rate: Rate | None = None
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5

    def check(self) -> Iterator[Problem]:
        for i, server in enumerate(self.servers):
            if server.address.host and server.address.port == 0:
                yield Problem(("servers", i, "address"), "port 0; allowed: 1 to 65535")
        if self.rate is not None and self.rate.count == 13:
            yield Problem(("rate",), "unlucky; allowed: another")


class Model(Section, frozen=True):
    listen: Annotated[tuple[Server, ...], ONE_OR_MANY] = (Server(address=Address("127.0.0.1", 80)),)
    workers: Annotated[int, msgspec.Meta(ge=1)] | Literal["auto"] = "auto"
    level: Literal["info", "error"] = "info"
    log: Annotated[Journal | None, OFF] = msgspec.field(default_factory=Journal)
    body: Size = 1024
    idle: Duration | None = None
    names: tuple[Lower, ...] = ()
    fast: bool = False
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    tag: Annotated[str, msgspec.Meta(max_length=3, pattern="^[a-z]*$")] = ""
    groups: Mapping[Lower, Group] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        if self.fast and self.idle == 0:
            yield Problem(("idle",), "0 and fast; allowed: either")
        if len(self.groups) > 3:
            yield Problem(("groups", "d", "ratio"), "too many groups; allowed: 3")


def failure(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, Model, file="x.yaml")
    return str(caught.value)


def test_an_empty_file_is_all_defaults() -> None:
    assert loads("", Model) == Model()


def test_every_kind_of_value_is_read() -> None:
    text = """
    listen: [127.0.0.1:1, {address: "[::1]:2", weight: 3}]
    workers: 4
    level: error
    log: {path: a.log, flush: 250ms}
    body: 8k
    idle: 5m
    names: [a, b]
    fast: true
    groups:
      g: {servers: [unix:/s], rate: 600/m, ratio: 1}
    """
    assert loads(text, Model) == Model(
        listen=(Server(address=Address("127.0.0.1", 1)), Server(address=Address("::1", 2), weight=3)),
        workers=4, level="error", log=Journal(path="a.log", flush=0.25), body=8192, idle=300.0, names=("a", "b"),
        fast=True,
        groups={"g": Group(servers=(Server(address=Address(path="/s")),), rate=Rate(600, 60.0), ratio=1.0)},
    )


@pytest.mark.parametrize("listen", ["a:1", "[a:1]", "{address: a:1}", "[{address: a:1}]"])
def test_every_spelling_has_one_shape(listen: str) -> None:
    assert loads(f"listen: {listen}", Model).listen == (Server(address=Address("a", 1)),)


def test_off_and_null_are_none() -> None:
    assert loads("log: off", Model).log is None
    assert loads("log: null\nidle: ~", Model).log is None


def test_a_key_with_nothing_below_it_is_empty_not_wrong() -> None:
    assert loads("names:\ngroups:\n", Model) == Model()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "x.yaml:1: a: unknown key; allowed: listen, workers, level, log, body, idle, "
         "names, fast, share, tag, groups"),
        ("\nlsten: 1", "x.yaml:2: lsten: unknown key (did you mean listen?); allowed: listen, workers, "
                       "level, log, body, idle, names, fast, share, tag, groups"),
        ("listen: 80", "x.yaml:1: listen: '80' is not an address; allowed: HOST:PORT, [V6]:PORT or unix:PATH"),
        ("listen: [a:1, {address: x}]",
         "x.yaml:1: listen[1].address: 'x' is not an address; allowed: HOST:PORT, [V6]:PORT or unix:PATH"),
        ("listen: {weight: 1}", "x.yaml:1: listen: address is missing; allowed: HOST:PORT, [V6]:PORT or unix:PATH"),
        ("listen:\n- a:1\n- address: a:1\n  weight: 10",
         "x.yaml:4: listen[1].weight: 10 is not allowed; allowed: a whole number from 1 to 9"),
        ("workers: 0", "x.yaml:1: workers: 0 is not allowed; allowed: a whole number from 1 up or auto"),
        ("workers: [1]", "x.yaml:1: workers: a list is not allowed; allowed: a whole number from 1 up or auto"),
        ("workers: true", "x.yaml:1: workers: true is not allowed; allowed: a whole number from 1 up or auto"),
        ("level: warn", "x.yaml:1: level: 'warn' is not allowed; allowed: error, info"),
        ("level: {}", "x.yaml:1: level: a mapping is not allowed; allowed: error, info"),
        ("log: on", "x.yaml:1: log: 'on' is not allowed; allowed: a mapping with path, flush"),
        ("log: {path: ''}", "x.yaml:1: log.path: '' is not allowed; allowed: text, its length from 1 up"),
        ("log: {path: 5}",
         'x.yaml:1: log.path: 5 is not allowed; allowed: text, its length from 1 up (in quotes it is text: "5")'),
        ("body: 8q",
         "x.yaml:1: body: '8q' is not a size; allowed: bytes, or a number with k, m or g, as 8k, 16m or 1g"),
        ("idle: 5", "x.yaml:1: idle: 5 is not a duration; allowed: a number with ms, s, m or h, as 250ms, or 0"),
        ("names: a", "x.yaml:1: names: 'a' is not allowed; allowed: a list"),
        ("names:\n  - a\n  - B", "x.yaml:3: names[1]: 'B' is not in lower case; allowed: a to z"),
        ("fast: yes", "x.yaml:1: fast: 'yes' is not allowed; allowed: true or false"),
        ("fast: 1", "x.yaml:1: fast: 1 is not allowed; allowed: true or false"),
        ("groups: [1]", "x.yaml:1: groups: a list is not allowed; allowed: a mapping"),
        ("groups: {G: {}}", "x.yaml:1: groups.G: 'G' is not in lower case; allowed: a to z"),
        ("groups:\n  g:\n    servers: []", "x.yaml:3: groups.g.servers: 0 entries; allowed: from 1 up"),
        ("groups:\n  g:\n    ratio: 0.5", "x.yaml:2: groups.g: servers is missing; allowed: a list"),
        ("groups: {g: {servers: [a:1], ratio: .nan}}",
         "x.yaml:1: groups.g.ratio: nan is not allowed; allowed: a number from 0 to 1"),
        (f"groups: {{g: {{servers: [a:1], ratio: 1{'0' * 390}}}}}",
         f"x.yaml:1: groups.g.ratio: 1{'0' * 59}… is not allowed; allowed: a number from 0 to 1"),
        ("share: 0", "x.yaml:1: share: 0 is not allowed; allowed: a number above 0 below 1"),
        ("share: 1.0", "x.yaml:1: share: 1.0 is not allowed; allowed: a number above 0 below 1"),
        ("tag: aB", "x.yaml:1: tag: 'aB' is not allowed; allowed: text, its length up to 3 like ^[a-z]*$"),
        ("tag: abcd", "x.yaml:1: tag: 'abcd' is not allowed; allowed: text, its length up to 3 like ^[a-z]*$"),
        ("groups: {g: {servers: [a:1], rate: 5}}",
         "x.yaml:1: groups.g.rate: '5' is not a rate; allowed: N/s, N/m or N/h, N from 1, as 600/m"),
        ("- 1", "x.yaml:1: a list is not allowed; allowed: a mapping with listen, workers, level, log, body, idle, "
                "names, fast, share, tag, groups"),
    ],
)
def test_an_error_says_where_what_and_what_is_allowed(text: str, message: str) -> None:
    assert failure(text) == message


def test_a_check_names_the_line_of_what_it_found() -> None:
    text = "groups:\n  g:\n    rate: 1/s\n    servers:\n      - a:1\n      - address: a:0\n"
    assert failure(text) == "x.yaml:6: groups.g.servers[1].address: port 0; allowed: 1 to 65535"


def test_a_check_that_blames_a_short_form_names_what_the_file_spells() -> None:
    assert failure("groups:\n  g:\n    servers: [a:0]") == "x.yaml:3: groups.g.servers[0]: port 0; allowed: 1 to 65535"


def test_a_check_that_blames_a_default_names_the_nearest_line() -> None:
    text = "groups:\n" + "".join(f"  {name}:\n    servers: [h:1]\n" for name in "abcd")
    assert failure(text) == "x.yaml:8: groups.d.ratio: too many groups; allowed: 3"


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfworkers: 3\n")
    assert load(file, Model).workers == 3
    file.write_bytes(b"workers: 3\nlevel: \xff\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:2: not UTF-8 text"):
        load(file, Model)


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml", Model)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, Model)
    with pytest.raises(ConfigError, match="cannot be read"):
        load("\0", Model)


FLAGS = {"workers": Flag("--worker-count", 4), "listen": Flag("--at", "b:2")}


def test_a_flag_stands_in_place_of_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("workers: none\nlevel: error\n")
    config = load(file, Model, FLAGS)
    assert (config.workers, config.level) == (4, "error")
    assert load(None, Model, FLAGS).workers == 4


def test_what_is_wrong_with_a_flag_is_said_of_the_flag(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("{}\n")
    for path in (file, None):
        with pytest.raises(ConfigError, match=r"^--worker-count: 'many' is not allowed; allowed: "):
            load(path, Model, {"workers": Flag("--worker-count", "many")})
        with pytest.raises(ConfigError, match=r"^--group: g\.servers\[0\]: "):
            load(path, Model, {"groups": Flag("--group", {"g": {"servers": ["a:0"]}})})
    assert str(blame(file, Model, ("listen", 0), "is taken", FLAGS)).startswith("--at: ")


def test_a_flag_for_a_key_within_a_section_leaves_the_rest_of_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    flags = {"log.path": Flag("--log", "b"), "groups.g.ratio": Flag("--ratio", 0)}
    file.write_text("log: {path: a, flush: 3s}\ngroups: {g: {servers: [a:1]}}\n")
    config = load(file, Model, flags)
    assert config.log == Journal(path="b", flush=3.0)
    assert (config.groups["g"].ratio, len(config.groups["g"].servers)) == (0, 1)
    for text in ("", "log:\n", "log: {}\n"):
        file.write_text(text)
        assert load(file, Model, {"log.path": Flag("--log", "b")}).log == Journal(path="b")


def test_what_is_wrong_around_such_a_flag_is_said_of_who_wrote_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for text, flag, wrong in [
            ("log: {flush: 3s}\n", "", "--log: '' is not allowed; allowed: "),
            ("log:\n  flush: 3\n", "b", f"{file}:2: log.flush: 3 is not a duration"),
            ("log: 3\n", "b", f"{file}:1: log: 3 is not allowed"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(file, Model, {"log.path": Flag("--log", flag)})
        assert str(caught.value).startswith(wrong)


LOWER = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
def test_a_value_that_fails_later_is_blamed_where_the_file_has_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("workers: 2\nlisten: a:1\n")
    error = blame(file, Model, ("listen", 0, "address"), "is taken")
    assert str(error) == f"{file}:2: listen: is taken"


@pytest.mark.parametrize("content", [b"workers: [", b"\xff", None])
def test_blame_needs_no_readable_file(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    if content is not None:
        file.write_bytes(content)
    assert str(blame(file, Model, ("listen", 0), "is taken")) == f"{file}: listen[0]: is taken"


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.text(CHARACTERS, min_size=1)
ADDRESSES = st.builds(
    Address, host=LOWER | st.ip_addresses().map(str), port=st.integers(1, 65535)
) | st.builds(Address, path=st.text(CHARACTERS, min_size=1, max_size=25))
SERVERS = st.builds(Server, address=ADDRESSES, weight=st.integers(1, 9))
DURATIONS = st.integers(0, 10**9).map(lambda us: us / 1e6)
MODELS = st.builds(
    Model,
    listen=st.lists(SERVERS, min_size=1).map(tuple),
    workers=st.integers(1, 1000) | st.just("auto"),
    level=st.sampled_from(["info", "error"]),
    log=st.none() | st.builds(Journal, path=TEXT, flush=DURATIONS),
    body=st.integers(0, 2**40),
    idle=st.none() | st.floats(1, 1000),
    names=st.lists(LOWER).map(tuple),
    fast=st.booleans(),
    groups=st.dictionaries(LOWER, st.builds(
        Group,
        servers=st.lists(SERVERS, min_size=1).map(tuple),
        rate=st.none() | st.builds(Rate, st.integers(14, 100), st.sampled_from([1.0, 60.0, 3600.0])),
        ratio=st.floats(0, 1),
    ), max_size=3),
)


@given(MODELS)
def test_what_is_dumped_loads_as_an_equal(model: Model) -> None:
    assert loads(dump(model), Model) == model
    assert json.loads(json.dumps(plain(model))) == plain(model)


FRAGMENTS = st.sampled_from([
    "listen", "workers", "log", "groups", "servers", "address", "names", "a:1", "off", "1", "5m", "null", "${X}", ": ",
    "- ",
    "\n", "  ", "{", "}", "[", "]", ", ", "&a ", "*a", "!!str ", "'", '"', "#", "\t", "? ", "<<", "|", "\0", "\x85",
])


@given(st.lists(FRAGMENTS, max_size=30).map("".join) | st.text())
def test_any_text_gives_a_model_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(loads(text, Model), Model)


class Room(Section, frozen=True):
    line: Annotated[Size, msgspec.Meta(ge=2048, le=4096)] = 2048


def test_the_bounds_of_a_spelled_value_hold():
    with pytest.raises(ConfigError, match="line: '1k' is out of range; allowed: a whole number from 2048 to 4096"):
        loads("line: 1k", Room)
    assert loads("line: 4k", Room).line == 4096
