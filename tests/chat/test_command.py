"""`hotpath-chat`: flags, their twins in the file, and mistakes that are named with status 2."""
import socket
import subprocess

import pytest

from hotpath.chat.command import Given, arguments, gateway_listen, inherited_fd, main
from hotpath.chat.config import ChatConfig
from hotpath.core.config import Address, ConfigError, loads
from tests.chat.ups import CHAT


def given(*argv):
    return Given.of(arguments(["up", *argv]))


def test_every_flag_is_a_key_of_the_file(tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text("""
data: there
listen: 127.0.0.1:9000
workers: 2
gateways: {count: 3, ring: 99}
redis: {url: "redis://r:1/2", prefix: "p:"}
database: {url: "mysql+mysqlconnector://u:p@h:1/n", pool: 9}
""")
    by_file = given("--config", str(file)).config()
    file.write_text("gateways: {ring: 99}\nredis: {prefix: 'p:'}\ndatabase: {pool: 9}\n")
    by_flags = given("--config", str(file), "--data", "there", "--listen", "127.0.0.1:9000", "--workers", "2",
                     "--gateways", "3", "--redis", "redis://r:1/2", "--database",
                     "mysql+mysqlconnector://u:p@h:1/n").config()
    assert by_flags == by_file
    assert by_file.gateways.count == 3


def test_without_anything_it_is_the_defaults():
    assert given().config() == ChatConfig()


def test_serve_is_up():
    assert arguments(["serve"]).run is arguments(["up"]).run


def test_a_part_is_told_the_same_but_where_it_listens(tmp_path):
    file = tmp_path / "chat.yaml"
    words = given("--config", str(file), "--data", "d", "--listen", "h:1", "--gateways", "3").words(tmp_path / "d")
    assert sorted(words) == [f"--config={file}", f"--data={tmp_path}/d", "--gateways=3"]


@pytest.mark.parametrize("command", [["up"], ["serve"], ["api"], ["gateway", "--id", "g1"]])
def test_check_says_that_a_good_file_is_good(tmp_path, capsys, command):
    file = tmp_path / "chat.yaml"
    file.write_text(f"data: {tmp_path}/new/data\n")
    assert main([*command, "--config", str(file), "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
    assert not (tmp_path / "new").exists(), "a check makes nothing"
    assert main([*command, "--data", str(tmp_path), "-t"]) == 0
    assert capsys.readouterr().out == "defaults: ok\n"


@pytest.mark.parametrize(("text", "wrong"), [
    ("listne: h:1\n", ":1: listne: unknown key (did you mean listen?); allowed: "),
    ("gateways:\n  count: 0\n", ":2: gateways.count: 0 is not allowed; allowed: a whole number from 1 to 64\n"),
    ("workers: 2\n", ":1: workers: 2 API processes cannot share SQLite; allowed: 1, or MySQL\n"),
    ("redis: {url: 'http://h'}\n", ":1: redis.url: 'http://h' is no Redis; allowed: embedded, or redis://HOST:PORT/N\n"),
    ("limits:\n  send: 20\n", ":2: limits.send: '20' is not a rate; allowed: "),
    ("listen: unix:/tmp/x\n", ":1: listen: a browser cannot open a unix socket; allowed: HOST:PORT or [V6]:PORT\n"),
    ("gateways: {listen: ['unix:/tmp/x', 'h:1']}\n", ":1: gateways.listen[0]: a browser cannot open"),
    ("user: nobody\n", ":1: user: the data belongs to whoever started us; allowed: null, and to start"),
    ("data: /dev/null/x\n", ":1: data: /dev/null is no directory; allowed: "),
    ("log: {error: /nowhere/x}\n", ":1: log.error: '/nowhere/x' cannot be written\n"),
    ("- 1\n", ":1: a list is not allowed; allowed: a mapping"),
])
@pytest.mark.parametrize("command", [["up"], ["api"], ["gateway", "--id", "g1"]])
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path, capsys, command, text, wrong):
    file = tmp_path / "chat.yaml"
    file.write_text(text)
    assert main([*command, "--config", str(file), "--check"]) == 2
    assert capsys.readouterr().err.startswith(f"{file}{wrong}")


@pytest.mark.parametrize(("argv", "wrong"), [
    (["up", "--listen", "nonsense"], "--listen: 'nonsense' is not an address; allowed: HOST:PORT"),
    (["up", "--gateways", "0"], "--gateways: 0 is not allowed; allowed: a whole number from 1 to 64\n"),
    (["up", "--gateways", "many"], "--gateways: 'many' is not allowed; allowed: a whole number from 1 to 64\n"),
    (["up", "--workers", "2"], "--workers: 2 API processes cannot share SQLite; allowed: 1, or MySQL\n"),
    (["up", "--redis", "nonsense"], "--redis: 'nonsense' is no Redis; allowed: "),
    (["up", "--database", "postgres://h/n"], "--database: no such database; allowed: sqlite, or "),
    (["up", "--data", ""], "--data: '' is not allowed; allowed: text"),
    (["up", "--data", "/dev/null/x"], "--data: /dev/null is no directory; allowed: "),
    (["api", "--listen", "fd:x"], "--listen: "),
    (["api", "--listen", "fd:0"], "--listen: fd:0 is no listening socket that was inherited\n"),
    (["gateway", "--id", "g1", "--listen", "unix:/tmp/x"], "--listen: a browser cannot open a unix socket"),
    (["gateway", "--id", "g1", "--listen", "nonsense"], "--listen: 'nonsense' is not an address"),
])
def test_a_mistake_in_a_flag_is_said_of_the_flag(capsys, argv, wrong):
    assert main([*argv, "--check"]) == 2
    assert capsys.readouterr().err.startswith(wrong)


@pytest.mark.parametrize(("argv", "wrong"), [
    ([], "required: up | api | gateway | load"),
    (["down"], "invalid choice: 'down'"),
    (["up", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["up", "--listen"], "--listen: expected one argument"),
    (["gateway"], "required: --id"),
    (["gateway", "--id", "G 1"], "--id: 'G 1' is no gateway's name; allowed: "),
    (["gateway", "--id", "g1", "--origin", "*"], "--origin: '*' is no Origin; allowed: http://HOST:PORT"),
    (["load"], "required: --url"),
    (["load", "--url", "https://h"], "--url: 'https://h' is not allowed; allowed: http://HOST:PORT"),
    (["load", "--url", "http://h:1", "--clients", "0"], "--clients: '0' is not allowed; allowed: 1 to 1000000"),
    (["load", "--url", "http://h:1", "--rate", "-1"], "--rate: '-1' is not allowed; allowed: a number above 0"),
])
def test_a_flag_that_does_not_exist_or_fit_ends_with_2_in_one_line(capsys, argv, wrong):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert wrong in error
    assert error.startswith("hotpath-chat")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(("command", "words"), [
    ([], ["up", "serve", "api", "gateway", "load"]),
    (["up"], ["--config", "--listen", "--data", "--gateways", "--redis", "--database", "--workers", "--check",
              "run.json", "FILE:LINE", *ChatConfig.__struct_fields__[-8:]]),
    (["api"], ["--config", "--listen", "--data", "--new-epoch", "fd:N"]),
    (["gateway"], ["--id", "--listen", "--origin", "1001"]),
    (["load"], ["--url", "--clients", "--users", "--channels", "--rate", "--size", "--seconds", "--storm", "--json",
                "resume_s"]),
])
def test_help_is_complete(capsys, command, words):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in words:
        assert word in text


@pytest.mark.parametrize(("name", "listen", "address"), [
    ("g1", None, Address("127.0.0.1", 1)),
    ("g2", None, Address("127.0.0.1", 2)),
    ("g2", "h:5", Address("h", 5)),
    ("other", "h:5", Address("h", 5)),
])
def test_a_gateway_has_its_place_in_the_list(name, listen, address):
    config = loads("gateways: {listen: ['127.0.0.1:1', '127.0.0.1:2']}", ChatConfig)
    assert gateway_listen(name, listen, config) == address


@pytest.mark.parametrize("name", ["g0", "g3", "g01", "other"])
def test_a_gateway_without_a_place_needs_an_address(name):
    config = loads("gateways: {listen: ['127.0.0.1:1', '127.0.0.1:2']}", ChatConfig)
    with pytest.raises(ConfigError, match=rf"^--id: {name} has no place in gateways\.listen; allowed: g1 to g2"):
        gateway_listen(name, None, config)


def test_any_gateway_takes_a_free_port_of_the_default():
    assert gateway_listen("other", None, ChatConfig()) == Address("127.0.0.1", 0)


def test_an_inherited_socket_is_taken_only_if_it_listens():
    with socket.create_server(("127.0.0.1", 0)) as listening, inherited_fd(f"fd:{listening.fileno()}") as inherited:
        assert inherited.getsockname() == listening.getsockname()
        inherited.detach()
    with socket.socket() as other, pytest.raises(ConfigError, match="is no listening socket that was inherited"):
        inherited_fd(f"fd:{other.fileno()}")
    assert inherited_fd("127.0.0.1:80") is None
    assert inherited_fd(None) is None


def test_the_module_is_the_command():
    done = subprocess.run([*CHAT, "up", "--check"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "defaults: ok\n"
