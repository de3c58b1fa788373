"""A line to Redis: its greeting, what it carries, and that it comes back."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hotpath.chat.gateway.redisline import RedisLine, command
from hotpath.chat.parts import redis_server
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, sleep, spawn, timeout
from tests.waiting import DEADLINE_S, free_port, wait_for_port


@contextmanager
def redis_with(*options: str) -> Iterator[int]:
    """A Redis; its port."""
    port = free_port()
    process = subprocess.Popen(
        [redis_server(), "--port", str(port), "--save", "", "--appendonly", "no", *options], stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("words", "bytes_"), [
    (("PING",), b"*1\r\n$4\r\nPING\r\n"), (("SET", "k", b"\0\r\n"), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\0\r\n\r\n"),
    (("GET", "é"), b"*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n")])
def test_a_command_is_what_redis_reads(words: tuple[str | bytes, ...], bytes_: bytes):
    assert command(*words) == bytes_


class Heard:
    """What a line told, in a loop of its own."""

    def __init__(self, url: str) -> None:
        self.loop = Loop()
        self.data = b""
        self.n_ups = self.n_downs = 0
        self.news = Event()
        self.line = RedisLine(self.loop, lambda: url, on_up=self._up, on_data=self._data, on_down=self._down)

    def _up(self) -> None:
        self.n_ups += 1
        self.news.set()

    def _down(self) -> None:
        self.n_downs += 1
        self.news.set()

    def _data(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def wait(self, check) -> None:
        with timeout(DEADLINE_S):
            while not check():
                self.news.wait()
                self.news.clear()

    def play(self, script) -> None:
        """Run the script in a task beside the line."""
        failed: list[BaseException] = []

        def play() -> None:
            spawn(self.line.run)
            try:
                script(self)
            except BaseException as error:
                failed.append(error)
            finally:
                self.loop.stop()

        self.loop.call_soon(spawn, play)
        try:
            self.loop.run()
        finally:
            self.loop.close()
        if failed:
            raise failed[0]


def test_it_greets_with_password_and_number():
    def script(heard: Heard) -> None:
        assert not heard.line.write(command("PING")), "not yet"
        heard.wait(lambda: heard.line.is_up)
        heard.line.write(command("SET", "k", "v") + command("CLIENT", "LIST"))
        heard.wait(lambda: b" db=3 " in heard.data)
        assert heard.data.startswith(b"+OK\r\n$"), "the greeting's answers are not ours"

    with redis_with("--requirepass", "se:cr t") as port:
        Heard(f"redis://:se%3Acr%20t@127.0.0.1:{port}/3").play(script)


def test_a_wrong_password_is_not_up():
    def script(heard: Heard) -> None:
        for _ in range(20):
            sleep(0.01)
            assert not heard.line.is_up
        assert heard.n_ups == heard.n_downs == 0

    with redis_with("--requirepass", "right") as port:
        Heard(f"redis://:wrong@127.0.0.1:{port}/0").play(script)


def test_what_is_cut_is_made_again():
    def script(heard: Heard) -> None:
        for n in range(1, 4):
            heard.wait(lambda n=n: heard.n_ups == n)
            heard.line.cut()
            heard.wait(lambda n=n: heard.n_downs == n)

    with redis_with() as port:
        Heard(f"redis://127.0.0.1:{port}/0").play(script)


def test_nobody_there_is_no_end():
    def script(heard: Heard) -> None:
        with pytest.raises(TimeoutError), timeout(0.3):
            heard.wait(lambda: heard.line.is_up)
        with redis_with_port(port):
            heard.wait(lambda: heard.line.is_up)

    @contextmanager
    def redis_with_port(port: int) -> Iterator[None]:
        process = subprocess.Popen([redis_server(), "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    port = free_port()
    Heard(f"redis://127.0.0.1:{port}/0").play(script)
