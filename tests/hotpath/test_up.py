"""`hotpath up`: its command line, its start, its end, and whom it starts again."""
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from hotpath.home import CannotStart
from hotpath.up import opened
from tests.clients import fetch
from tests.ide.paths import public_folder
from tests.waiting import is_alive, running, wait_for

from .houses import ALL, UP, UP_WITHIN_S, house_up, without

# Whole houses, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)
# One part, and the door before it: as good as all for whatever is about processes.
ONE = ("--only", "locking")


@pytest.fixture
def house(tmp_path):
    """A small one that the test may harm."""
    with house_up(tmp_path, *ONE) as house:
        yield house


def refused(*words, env=None):
    """What it says when it does not even start: one line, status 2."""
    with running([*UP, *words], env={**without(os.environ), **(env or {})}) as process:
        assert process.wait() == 2
        (line,) = process.output.splitlines()
        return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_a_signal_ends_all_of_it_and_leaves_no_process_and_no_socket(house, number, tmp_path):
    pids = house.processes()
    assert len(pids) >= 4
    os.kill(house.process.pid, number)
    assert house.process.wait(60) == 0
    assert [line for pid, line in pids.items() if is_alive(pid)] == []
    assert list(house.temporary.iterdir()) == []
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_socket()] == []
    assert "Traceback" not in house.process.output


def test_nothing_outlives_a_kill_and_the_next_one_starts_on_the_same_data(house, tmp_path):
    made = house.ask("POST", "/locking/items", {"title": "kept", "body": ""})
    assert made.status == 201, made
    pids = house.processes()
    os.kill(house.process.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, pids)), "the end of every part", 60)
    with house_up(tmp_path, *ONE) as again:
        assert again.got(f"/locking/items/{made.json()['id']}")["title"] == "kept"


def test_only_some_are_started_and_the_door_knows_no_others(house):
    assert [part["name"] for part in house.got("/status.json")["parts"]] == ["proxy", "locking"]
    assert house.ask("GET", "/locking/").status == 200
    assert house.ask("GET", "/crdt/healthz").status == 404
    assert not any("hotpath.crdt" in line for line in house.processes().values())


def test_a_second_one_on_the_same_data_is_refused_and_the_first_goes_on(house, tmp_path):
    line = refused("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *ONE)
    assert line == (f"hotpath up: --data: {tmp_path / 'data'} is in use by another hotpath up; stop that one, or name "
                    "another directory")
    assert house.ask("GET", "/locking/").status == 200


def test_a_part_that_cannot_start_is_named_with_its_own_words(tmp_path):
    (tmp_path / "locking").write_text("no directory")
    with running([*UP, "--listen", "127.0.0.1:0", "--data", str(tmp_path), *ONE], env={**os.environ}) as process:
        assert process.wait(UP_WITHIN_S) == 1
    words, last = process.output, process.output.splitlines()[-1]
    assert re.search(r"^locking \| .*locking\.yaml:\d+: data: .*cannot be made", words, re.MULTILINE), words
    assert last == "hotpath up: cannot go on without locking; its own words are above"


def test_a_reader_that_goes_away_ends_it(tmp_path):
    read, write = os.pipe()
    with running(["sh", "-c", f'exec "$@" >/dev/fd/{write}', "sh", *UP, "--listen", "127.0.0.1:0", "--data",
                  str(tmp_path / "data"), *ONE], env=without(os.environ), pass_fds=[write]) as process:
        os.close(write)
        os.read(read, 1)
        os.close(read)
        assert process.wait(UP_WITHIN_S) == 1, process.output
        assert "Traceback" not in process.output


def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        assert refused("--listen", address, "--data", str(tmp_path)) == (
            f"hotpath up: --listen: {address} is taken; stop what listens there, or name another HOST:PORT")


def test_a_folder_that_is_too_long_for_a_socket_is_said(tmp_path):
    folder = tmp_path / ("too-long-for-a-unix-socket-" * 5)
    folder.mkdir()
    line = refused("--listen", "127.0.0.1:0", "--data", str(tmp_path), *ONE, env={"TMPDIR": str(folder)})
    assert line.startswith(f"hotpath up: cannot listen on unix:{folder}")
    assert line.endswith("; allowed: a shorter TMPDIR")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("words", "line"), [
    (["--only", "chat,tea"],
     "hotpath up: argument --only: 'tea' is no part; allowed: proxy, chat, ide, crdt, shard, locking"),
    (["--lisen", "x"], "hotpath: unrecognized arguments: --lisen x; allowed: see --help"),
    (["--listen", "127.0.0.1:0", "--data", "/proc/nothing"],
     "hotpath up: --data: /proc/nothing cannot be used: No such file or directory; allowed: a directory, or one to be "
     "made"),
    (["--listen", "0.0.0.0:0"], "hotpath up: --listen: 0.0.0.0:0 can be reached by others, and most parts ask nobody "
                                "who they are; allowed: an address of this machine alone, as 127.0.0.1:8080"),
], ids=["part", "flag", "data", "exposed"])
def test_a_mistake_is_one_line_that_says_what_is_allowed(words, line):
    assert refused(*words) == line


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1:99999", "[::1:8080", "unix:/tmp/it", "192.0.2.1:8080"])
def test_an_unusable_address_says_what_is_allowed(listen):
    with pytest.raises(CannotStart, match=r"--listen: .*allowed: "), opened(listen):
        pass


@pytest.mark.parametrize(("listen", "hosts"), [
    ("127.0.0.1:0", ("127.0.0.1", "localhost")), ("[::1]:0", ("[::1]", "localhost")),
    ("localhost:0", ("localhost", "127.0.0.1", "[::1]")),
])
def test_a_door_knows_what_browsers_call_it(listen, hosts):
    with opened(listen) as door:
        port = door.sockets[0].getsockname()[1]
        assert door.address.port == port
        assert door.hosts == hosts
        assert door.origins == [f"http://{host}:{port}" for host in hosts]


# ---- all of it

@pytest.fixture(scope="module")
def whole():
    with public_folder() as folder, house_up(folder) as house:
        yield house


def test_the_status_says_that_every_part_is_well(whole):
    def all_well():
        said = whole.got("/status.json")
        return said if all(part["well"] for part in said["parts"]) else None

    status = wait_for(all_well, "every part to be well")
    assert [part["name"] for part in status["parts"]] == list(ALL)
    assert all(part["well"] and part["restarts"] == 0 and part["latency_ms"] > 0 for part in status["parts"])
    assert all(part["engine"] for part in status["parts"])
    assert status["version"]
    assert status["check_every_s"] > 0


def test_the_status_is_kept_by_nobody(whole):
    answer = whole.ask("GET", "/status.json")
    assert answer.value("cache-control") == "no-store"


def test_every_part_shows_its_figures(whole):
    def shown():
        parts = whole.got("/status.json")["parts"]
        figures = {part["name"]: [figure["value"] for figure in part["figures"]] for part in parts}
        return figures if all(None not in values for values in figures.values()) else None

    figures = wait_for(lambda: (found := shown()) and found["crdt"][1] == 6 and found, "a value of each, and six links")
    assert figures["shard"][0] == 3
    assert all(len(values) == 2 for values in figures.values())


def test_a_figure_follows_what_happens(whole):
    before = whole.part("shard")["figures"][1]
    assert before["label"] == "requests for rows"
    assert whole.ask("POST", "/shard/v1/tables/posts", {"author": "a", "title": "t"}).status == 201
    wait_for(lambda: whole.part("shard")["figures"][1]["value"] == before["value"] + 1, "one more request for rows")


def test_every_path_and_link_leads_somewhere(whole):
    for part in whole.got("/status.json")["parts"]:
        paths = [link["path"] for link in part["links"]] + ([part["path"]] if part["path"] else [])
        assert all(whole.ask("GET", path).status == 200 for path in paths), part


@pytest.mark.parametrize("name", ALL[1:])
def test_a_path_without_its_slash_leads_to_the_one_with_it(whole, name):
    answer = whole.ask("GET", f"/{name}")
    assert (answer.status, answer.value("location")) == (308, f"/{name}/")


@pytest.mark.parametrize("path", ["/", "/kit/base.css", "/status.json", *(f"/{name}/" for name in ALL[1:])])
def test_a_name_that_was_made_to_lead_here_gets_nothing(whole, path):
    assert fetch(whole.address, path, host="rebound.example").status == 404
    assert fetch(whole.address, path, host=whole.address.replace("127.0.0.1", "localhost")).status == 200


def test_the_page_comes_with_a_policy_that_allows_no_inline_script(whole):
    for path in ("/", "/kit/base.css"):
        answer = whole.ask("GET", path)
        policy = answer.value("content-security-policy") or ""
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert answer.value("x-content-type-options") == "nosniff"


def test_the_pages_files_are_there(whole):
    body = whole.ask("GET", "/").body
    found = [name.decode() for _, name in re.findall(rb'(src|href)="([^":#]+)"', body)]
    assert found
    assert all(whole.ask("GET", f"/{name.removeprefix('/')}").status == 200 for name in found)


def test_an_unknown_path_is_a_problem_of_the_proxy(whole):
    assert whole.ask("GET", "/nothing/here").status == 404


def test_the_logs_are_one_stream_with_names(whole):
    whole.ask("GET", "/locking/?mark=1")
    whole.process.wait_for_output(r"^proxy +\| .*GET /locking/\?mark=1")
    for name in ("chat", "ide", "crdt-a", "crdt-b", "crdt-c", "shard", "locking"):
        assert re.search(rf"^{name} +\| ", whole.process.read(), re.MULTILINE), name


def test_the_welcome_says_where_everything_is(whole):
    text = whole.process.read()
    for name in ALL[1:]:
        assert f"  {whole.url}/{name}/ " in text
    assert f"{whole.url}/ide/#token={whole.ide.token}" in text
    assert f"Data in {whole.data}. Ctrl-C stops it." in text


def test_the_welcome_is_the_last_word_of_the_start(whole):
    said = whole.process.read().partition("hotpath is up:")[0]
    for name in ("proxy", "chat", "ide", "crdt-a", "crdt-b", "crdt-c", "shard", "locking"):
        assert re.search(rf"^{name} +\| ready: pid", said, re.MULTILINE), name


def test_the_configurations_are_there_for_commands_beside_it(whole):
    files = {path.name: path.stat().st_mode & 0o777 for path in (whole.data / "config").iterdir()}
    assert set(files) == {f"{name}.yaml" for name in
                          ("proxy", "chat", "ide", "crdt-a", "crdt-b", "crdt-c", "shard", "locking")}
    assert set(files.values()) == {0o600}
    command = [*UP[:3], "hotpath.shard", "status", "-c", str(whole.data / "config" / "shard.yaml"), "--json"]
    with running(command) as process:
        assert process.wait() == 0
        assert json.loads(process.output)["shards"]


def test_the_house_stands_without_a_file_elsewhere(whole, tmp_path):
    assert not Path("hotpath-data").exists()
    assert {path.name for path in whole.data.iterdir()} >= {"chat", "ide", "shard", "locking", "crdt-a", "id"}
