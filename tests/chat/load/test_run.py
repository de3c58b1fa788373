"""Does load find what is wrong? Against a server that keeps the contract but for one lie."""
import json
import subprocess
import sys

import pytest

from hotpath.chat.command import main
from hotpath.chat.load import run
from hotpath.core.serve.testing import serving
from tests.chat.load.liar import Liar

LOAD = [sys.executable, "-P", "-m", "hotpath.chat", "load"]
FLAGS = ["--clients", "6", "--users", "2", "--channels", "1", "--rate", "60", "--seconds", "0.5"]
KEYS = ["connected", "sent", "acked", "delivered", "lost", "duplicated", "out_of_order", "ack_ms", "deliver_ms",
        "deliveries_per_s", "resume_s"]


def load(address, *flags):
    return subprocess.run([*LOAD, "--url", f"http://{address}", *FLAGS, *flags], capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.fixture
def summary_of(monkeypatch, capsys):
    """Load a server that tells this lie; what it printed, and its exit status."""
    def summary_of(lie, *flags, refuse=0):
        if lie in LOSES:        # what is lost is waited for, in vain
            monkeypatch.setattr(run, "SETTLE_S", 5.0)
        with serving(Liar(lie, refuse=refuse).app()) as served:
            status = main(["load", "--url", f"http://{served.address}", *FLAGS, "--json", *flags])
        return json.loads(capsys.readouterr().out), status
    return summary_of


# After these something is waited for in vain.
LOSES = ("drop", "drop last", "silent hole", "cut log")


def wrongs(summary):
    return summary["lost"], summary["duplicated"], summary["out_of_order"]


def test_an_honest_server_is_found_to_be_one(summary_of):
    summary, status = summary_of("none")
    assert list(summary) == KEYS
    assert (summary["connected"], summary["sent"], summary["acked"], summary["delivered"]) == (6, 30, 30, 180)
    assert wrongs(summary) == (0, 0, 0)
    assert summary["resume_s"] is None
    assert summary["ack_ms"]["p50"] > 0
    assert summary["deliver_ms"].keys() == {"p50", "p99"}
    assert summary["deliveries_per_s"] > 0
    assert status == 0


@pytest.mark.parametrize(("lie", "found"), [
    ("drop", (1, 0, 0)),
    ("drop last", (26, 0, 0)),
    ("double", (0, 1, 0)),
    ("swap", (0, 0, 1)),
    ("other text", (0, 0, 1)),
])
def test_each_lie_is_found_and_named(summary_of, lie, found):
    summary, status = summary_of(lie)
    assert wrongs(summary) == found
    assert summary["delivered"] == 180 - found[0]
    assert status == 1


def test_a_storm_is_survived_by_all_when_nobody_lies(summary_of):
    summary, status = summary_of("none", "--storm")
    assert (summary["delivered"], wrongs(summary)) == (180, (0, 0, 0))
    assert summary["resume_s"] > 0
    assert status == 0


@pytest.mark.parametrize(("lie", "found"), [("silent hole", (1, 0, 0)), ("resend", (0, 1, 0))])
def test_a_lie_about_where_it_goes_on_is_found(summary_of, lie, found):
    summary, status = summary_of(lie, "--storm")
    assert wrongs(summary) == found
    assert status == 1


def test_what_a_reset_leaves_out_is_fetched(summary_of):
    summary, status = summary_of("reset", "--storm")
    assert (summary["delivered"], wrongs(summary)) == (180, (0, 0, 0))
    assert status == 0


def test_what_is_missing_in_the_log_too_is_lost(summary_of):
    summary, status = summary_of("cut log", "--storm")
    assert summary["lost"] > 0
    assert status == 1


def test_a_refused_message_is_sent_again_and_counted_once(summary_of):
    summary, status = summary_of("none", refuse=5)
    assert (summary["acked"], summary["delivered"], wrongs(summary)) == (30, 180, (0, 0, 0))
    assert status == 0


def test_a_table_is_for_people():
    with serving(Liar("none").app()) as served:
        done = subprocess.run([*LOAD, "--url", f"http://{served.address}", *FLAGS], capture_output=True, text=True,
                              timeout=60, check=True)
    assert "lost, doubled, out of order  0, 0, 0" in done.stdout


def test_nobody_there_is_said_in_a_line(port):
    done = load(f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hotpath-chat load: http://127.0.0.1:{port}: ")
    assert len(done.stderr.splitlines()) == 1
