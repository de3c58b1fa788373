from __future__ import annotations

import os
import signal
import threading

import pytest

from hotpath.core.notices import Notices


@pytest.fixture
def notices():
    notices = Notices()
    yield notices
    notices.close()


def test_signals_are_noted_in_order_and_nothing_else_happens(notices):
    with notices.signals([signal.SIGUSR1, signal.SIGUSR2]):
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        notices.wait(None)
        assert notices.signal_numbers() == bytes([signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2])
        notices.wait(0.0)
        assert notices.signal_numbers() == b""


def test_signals_that_were_blocked_are_heard_and_handlers_come_back(notices):
    before = signal.getsignal(signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)      # another thread would not block it
    with notices.signals([signal.SIGUSR1]):
        notices.wait(None)
        assert notices.signal_numbers() == bytes([signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_everybody_who_says_so_is_ready(notices):
    assert notices.ready_pids() == []
    for pid in (1, 4194304, 77):
        os.write(notices.ready_end, b"%d\n" % pid)
    notices.wait(None)
    assert notices.ready_pids() == [1, 4194304, 77]
    assert notices.ready_pids() == []
