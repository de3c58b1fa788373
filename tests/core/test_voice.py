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
