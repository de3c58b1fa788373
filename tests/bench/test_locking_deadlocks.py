import pytest

from bench.locking_deadlocks import BACKENDS, row, run
from bench.locking_servers import database
from bench.processes import StartError
from hotpath.locking import Stats


@pytest.mark.parametrize("backend", BACKENDS)
def test_deadlocks_happen_and_are_counted(backend, tmp_path):
    try:
        with database(backend, tmp_path) as url:
            line, = run(backend, url, deadlocks=8)
    except StartError as error:
        pytest.skip(str(error))
    assert int(line[1]) >= 8
    assert line[2] == "16"
    assert line[4] == "0"


def test_a_connection_that_is_still_out_is_a_miss():
    line = row("x", Stats(commits=2000, deadlocks=1000), 10.0, 1, 8, 9)
    assert line == ("x", "1,000", "2,000", "100", "1", "8", "9", "out ≤ 0: missed; more ≤ 0: missed")
