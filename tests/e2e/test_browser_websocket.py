"""Does Chromium's WebSocket understand our echo server?"""
from __future__ import annotations

import os
import signal

import pytest

from tests.browser import chromium, serving_page
from tests.echoing import EchoServer, echo_servers
from tests.waiting import is_alive, send_signal, wait_for

# `messages` and `closed` are promises kept by events, so that nothing polls. Blobs would come later than the events.
PAGE = """<!doctype html><title>echo</title><script>
class Socket {
    constructor(url, protocols) {
        this.received = [];
        this.waiting = [];
        this.socket = new WebSocket(url, protocols ?? []);
        this.socket.binaryType = "arraybuffer";
        this.opened = new Promise((resolve) => { this.socket.onopen = () => resolve(true); });
        this.closed = new Promise((resolve) => {
            this.socket.onclose = ({code, reason, wasClean}) => resolve({code, reason, wasClean});
        });
        this.socket.onmessage = ({data}) => {
            this.received.push(data);
            this.waiting = this.waiting.filter(({n, resolve}) => this.received.length < n || resolve());
        };
    }
    messages(n) {
        return new Promise((resolve) => {
            if (this.received.length >= n) resolve(this.received);
            else this.waiting.push({n, resolve: () => { resolve(this.received); }});
        });
    }
}
async function open(url, protocols) {
    const socket = new Socket(url, protocols);
    const closed = socket.closed.then((how) => { throw new Error("closed: " + JSON.stringify(how)); });
    await Promise.race([socket.opened, closed]);
    return socket;
}
</script>"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with echo_servers(tmp_path_factory.mktemp("echo")) as start:
        yield start


@pytest.fixture(scope="module")
def server(start) -> EchoServer:
    return start()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def origin():
    with serving_page(PAGE) as origin:
        yield origin


@pytest.fixture
def page(browser, origin):
    page = browser.new_page()
    page.goto(origin)
    yield page
    page.close()


def url(server: EchoServer) -> str:
    return f"ws://{server.address}/any/path?and=query"


TEXTS = {
    "a word": "hello",
    "nothing": "",
    "emoji": "👩‍👩‍👧‍👦 🦀 é e\u0301 \U0010FFFF",
    "a zero": "a\0b",
    "126": "x" * 126,
    "64 KiB": "y" * 65536,
    "1 MiB": "0123456789abcdef" * 65536,
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_comes_back_as_it_was(page, server, case):
    assert page.evaluate("""async ([url, text]) => {
        const socket = await open(url);
        socket.socket.send(text);
        return (await socket.messages(1))[0];
    }""", [url(server), TEXTS[case]]) == TEXTS[case]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_binary_comes_back_as_it_was(page, server, size):
    # Noise: deflate makes it longer, not shorter.
    assert page.evaluate("""async ([url, size]) => {
        const socket = await open(url);
        const sent = new Uint8Array(size);
        for (let i = 0; i < size; i += 65536) crypto.getRandomValues(sent.subarray(i, i + 65536));
        socket.socket.send(sent.buffer);
        const [got] = await socket.messages(1);
        const bytes = new Uint8Array(got);
        return got instanceof ArrayBuffer && bytes.length === size && bytes.every((byte, i) => byte === sent[i]);
    }""", [url(server), size])


def test_text_and_binary_are_told_apart_in_order(page, server):
    assert page.evaluate("""async (url) => {
        const socket = await open(url);
        socket.socket.send("one");
        socket.socket.send(new Uint8Array([116, 119, 111]));
        socket.socket.send(new Blob(["three"]));
        socket.socket.send("four");
        return (await socket.messages(4)).map((each) => typeof each === "string" ? each : [...new Uint8Array(each)]);
    }""", url(server)) == ["one", [116, 119, 111], list(b"three"), "four"]


def test_a_thousand_small_messages_come_back_in_order(page, server):
    assert page.evaluate("""async (url) => {
        const socket = await open(url);
        for (let i = 0; i < 1000; i++) socket.socket.send(`message ${i}`);
        return await socket.messages(1000);
    }""", url(server)) == [f"message {i}" for i in range(1000)]


def test_many_sockets_do_not_mix_their_messages(page, server):
    assert page.evaluate("""async (url) => {
        const sockets = await Promise.all([...Array(20).keys()].map(() => open(url)));
        sockets.forEach(({socket}, i) => { for (let j = 0; j < 10; j++) socket.send(`${i}.${j}`); });
        return await Promise.all(sockets.map((socket) => socket.messages(10)));
    }""", url(server)) == [[f"{i}.{j}" for j in range(10)] for i in range(20)]


@pytest.mark.parametrize(("code", "reason"), [
    (1000, ""), (1000, "done"), (3000, ""), (4000, "two words"), (4999, "ünïcode ☕"), (4008, "x" * 123)])
def test_a_close_of_the_page_is_answered_with_its_code(page, server, code, reason):
    closed = page.evaluate("""async ([url, code, reason]) => {
        const socket = await open(url);
        socket.socket.close(code, reason);
        return await socket.closed;
    }""", [url(server), code, reason])
    # A server need not repeat the reason.
    assert (closed["code"], closed["wasClean"]) == (code, True)
    assert closed["reason"] in ("", reason)


def test_a_close_without_a_code_is_clean(page, server):
    closed = page.evaluate("""async (url) => {
        const socket = await open(url);
        socket.socket.close();
        return await socket.closed;
    }""", url(server))
    assert closed["code"] in (1000, 1005)       # 1005: the server too said none
    assert closed["wasClean"] is True


def test_deflate_is_agreed_on(page, server):
    assert page.evaluate("async (url) => (await open(url)).socket.extensions", url(server)) \
        .startswith("permessage-deflate")


def test_no_subprotocol_is_chosen_unless_asked_for(page, server):
    assert page.evaluate("async (url) => (await open(url)).socket.protocol", url(server)) == ""


def test_a_known_subprotocol_is_chosen(page, start):
    server = start("--subprotocol", "b", "--subprotocol", "c")
    assert page.evaluate("async (url) => (await open(url, ['a', 'b', 'c'])).socket.protocol", url(server)) == "b"


def test_a_page_whose_subprotocols_are_unknown_is_not_connected(page, start):
    # The handshake opens without one; a browser that asked for one then gives up (HTML, WebSockets section 2).
    server = start("--subprotocol", "b")
    assert page.evaluate("async (url) => (await new Socket(url, ['x']).closed).code", url(server)) == 1006


def test_without_deflate_messages_still_pass(page, start):
    server = start("--no-deflate")
    assert page.evaluate("""async (url) => {
        const socket = await open(url);
        socket.socket.send("plain");
        return [socket.socket.extensions, ...await socket.messages(1)];
    }""", url(server)) == ["", "plain"]


def test_only_pages_of_a_known_origin_connect(page, origin, start):
    opens = "async (url) => { const {opened, closed} = new Socket(url); return await Promise.race([opened, closed]); }"
    assert page.evaluate(opens, url(start("--origin", origin))) is True
    assert page.evaluate(opens, url(start("--origin", "https://a.example")))["code"] == 1006


def test_a_message_over_the_limit_closes_with_too_big(page, start):
    server = start("--max-message", "1k")
    closed = page.evaluate("""async (url) => {
        const socket = await open(url);
        socket.socket.send("x".repeat(1025));
        return await socket.closed;
    }""", url(server))
    assert closed["code"] == 1009


def test_a_server_that_stops_says_going_away(page, start):
    server = start("--max-frame", "1m")
    page.evaluate("async (url) => { globalThis.held = await open(url); }", url(server))
    server.terminate()
    closed = page.evaluate("held.closed")
    assert (closed["code"], closed["wasClean"]) == (1001, True)
    assert server.process.wait() == 0


def test_a_killed_server_is_an_abnormal_close(page, start):
    server = start("--max-frame", "2m")
    page.evaluate("async (url) => { globalThis.held = await open(url); }", url(server))
    pid = server.worker()
    send_signal(server.process.pid, signal.SIGSTOP)     # it must not replace the worker
    os.kill(pid, signal.SIGKILL)
    closed = page.evaluate("held.closed")
    assert (closed["code"], closed["wasClean"]) == (1006, False)
    os.kill(server.process.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(server.process.pid), "its end")
