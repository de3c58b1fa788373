"""`hotpath-crdt demo`: three real replicas that find each other, are kept running, and end together."""
import os
import signal
import socket
import urllib.request

import pytest

from hotpath.crdt.demo import CannotStart, choose
from tests.crdt.demos import DEMO, NAMES, demo_up
from tests.waiting import free_port, is_alive, running, wait_for


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with demo_up(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def own_demo(tmp_path):
    """One that the test may harm."""
    with demo_up(tmp_path) as demo:
        yield demo


def test_the_page_is_at_the_address_it_says(demo):
    with urllib.request.urlopen(demo.page, timeout=20) as response:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in response.headers["content-security-policy"]
        assert b"<title>crdt</title>" in response.read()


@pytest.mark.parametrize("name", NAMES)
def test_each_replica_knows_the_other_two(demo, name):
    answer = demo.ask(name, "GET", "/members")
    assert answer["self"] == name
    urls = {member["name"]: member["public"] or member["url"] for member in answer["members"]}
    assert {other: urls[other].rstrip("/") for other in NAMES if other != name} == {
        other: url for other, url in demo.urls.items() if other != name}


@pytest.mark.parametrize("name", NAMES)
def test_a_write_at_one_arrives_at_all(demo, name):
    demo.put(name, f"from-{name}", name)
    for other in NAMES:
        wait_for(lambda other=other: demo.items(other).get(f"from-{name}") == name, f"the write at {other}")


def test_cut_replicas_differ_and_healed_ones_agree(demo):
    demo.cut()
    stamps = {name: demo.put(name, "drink", name) for name in NAMES}
    assert {name: demo.items(name)["drink"] for name in NAMES} == {name: name for name in NAMES}
    demo.heal()
    winner = max(stamps, key=lambda name: stamps[name])
    assert {demo.items(name)["drink"] for name in NAMES} == {winner}


def test_a_killed_replica_is_reported_and_comes_back_with_its_data(own_demo):
    own_demo.put("b", "kept", [1, 2])
    pid = own_demo.pids()["b"]
    os.kill(pid, signal.SIGKILL)
    own_demo.process.wait_for_output(r"part=b ended=SIGKILL")
    own_demo.process.wait_for_output(r"^hotpath-crdt demo: b is back")
    assert own_demo.pids()["b"] != pid
    assert own_demo.items("b")["kept"] == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_leaves_nothing(tmp_path, number):
    with demo_up(tmp_path) as demo:
        pids = demo.pids()
        assert sorted(pids) == list(NAMES)
        assert list(tmp_path.iterdir())
        os.kill(demo.process.pid, number)
        assert demo.process.wait() == 0
        assert not any(map(is_alive, pids.values()))
        assert not list(tmp_path.iterdir())


def test_a_killed_demo_leaves_no_replica_behind(own_demo):
    pids = own_demo.pids().values()
    os.kill(own_demo.process.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, pids)), "the end of the replicas")


def test_an_open_stream_does_not_hold_up_the_end(own_demo):
    request = urllib.request.Request(own_demo.urls["a"] + "/changes", headers={"Accept": "text/event-stream"})
    with urllib.request.urlopen(request, timeout=20):
        own_demo.process.popen.terminate()
        assert own_demo.process.wait() == 0
    assert "SIGKILL" not in own_demo.process.output


def test_a_token_in_the_environment_does_not_lock_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("HOTPATH_CRDT_TOKEN", "secret")
    with demo_up(tmp_path) as demo, urllib.request.urlopen(demo.page, timeout=20) as response:
        assert response.status == 200
        demo.put("a", "open", 1)


def test_data_is_kept_where_it_was_asked_for(tmp_path):
    folder = tmp_path / "new" / "data"
    for n in range(2):
        with demo_up(tmp_path, "--data", str(folder)) as demo:
            if n == 0:
                demo.put("a", "kept", "yes")
            else:
                assert demo.items("a") == {"kept": "yes"}
    assert sorted(path.name for path in folder.iterdir()) == list(NAMES)


def test_a_replica_that_cannot_start_ends_the_demo(tmp_path):
    (tmp_path / "b").write_text("a file where a folder should be")
    with running([*DEMO, "--listen", f"127.0.0.1:{free_port()}", "--data", str(tmp_path)]) as process:
        assert process.wait(60) == 1
        assert "cannot go on without b" in process.output


@pytest.mark.parametrize(("flags", "named"), [
    (["--listen", "nonsense"], "--listen"),
    (["--listen", "unix:/tmp/x"], "unix"),
    (["--listen", "0.0.0.0:8091"], "this machine alone"),
    (["--listen", "127.0.0.1:0", "--data", "/dev/null/x"], "--data"),
])
def test_bad_use_ends_with_2_and_a_sentence(flags, named):
    with running([*DEMO, *flags]) as process:
        assert process.wait(60) == 2
        assert named in process.output
        assert "Traceback" not in process.output


def test_a_taken_port_is_refused_for_the_page():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=str(port)):
            choose(f"127.0.0.1:{port}")


def test_the_next_ports_are_taken_or_free_ones():
    port = free_port()
    addresses = choose(f"127.0.0.1:{port}")
    assert list(addresses) == list(NAMES)
    assert addresses["a"].port == port
    assert len({address.port for address in addresses.values()}) == 3
    with socket.create_server(("127.0.0.1", addresses["b"].port)):
        again = choose(f"127.0.0.1:{port}")
    assert again["b"].port != addresses["b"].port


def test_the_last_port_has_no_next_one():
    assert all(0 < address.port < 65536 for address in choose("127.0.0.1:65535").values())
