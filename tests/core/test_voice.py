"""Lines that nobody reads are dropped, and counted."""
import os
import re

from hotpath.core.voice import Voice


def test_a_reader_that_sleeps_stops_nobody():
    reading, writing = os.pipe()
    try:
        voice = Voice(writing)
        for _ in range(10_000):
            voice.say("x" * 100)
        os.set_blocking(reading, False)
        while True:
            try:
                os.read(reading, 65536)
            except BlockingIOError:
                break
        assert not voice.is_alone
        voice.say("again")
        assert re.fullmatch(rb"\(\d+ lines dropped: nobody read them\)\nagain\n", os.read(reading, 65536))
    finally:
        os.close(reading)
        voice.say("nobody is left")
        assert voice.is_alone
        os.close(writing)


def test_a_reader_that_goes_while_the_pipe_is_full_is_noticed():
    reading, writing = os.pipe()
    voice = Voice(writing)
    for _ in range(10_000):
        voice.say("x" * 100)
    assert not voice.is_alone
    os.close(reading)
    voice.say("nobody is left")
    assert voice.is_alone
    os.close(writing)


def test_a_long_line_that_is_cut_does_not_swallow_the_next_one():
    reading, writing = os.pipe()
    voice = Voice(writing)
    os.write(writing, b"." * 61_000 + b"\n")      # room for one piece of two
    voice.say("x" * 6000)
    os.set_blocking(reading, False)
    before = os.read(reading, 1 << 20)
    assert before.endswith(b"x")
    voice.say("again")
    assert os.read(reading, 65536) == b"\n(1 lines dropped: nobody read them)\nagain\n"
    os.close(reading)
    os.close(writing)
