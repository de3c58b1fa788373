import os
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotpath.shard.backend import CannotStart, Taken, backend_of
from hotpath.shard.backend.account import Account
from hotpath.shard.backend.login import ask
from hotpath.shard.backend.process import Processes
from hotpath.shard.config import ProcessConfig, ShardConfig
from tests.shard.servers import PATH, Mysqls, running_mysqls
from tests.waiting import is_alive, wait_for


@pytest.fixture
def folder(mysqls):
    return mysqls.folder


def another(mysqls: Mysqls, **changes: object) -> Processes:
    """The same cluster as another process sees it."""
    return Processes(ShardConfig(cluster="tests", backend="process", data=str(mysqls.folder), **changes))


def soon() -> float:
    return time.monotonic() + 60


def test_the_configuration_names_it(mysqls):
    assert isinstance(backend_of(ShardConfig(backend="process")), Processes)


def test_a_server_is_nobody_s_child_and_hears_no_terminal(mysqls):
    pid = mysqls.pid("s0")
    assert os.getsid(pid) != os.getsid(0)
    assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"


def test_a_server_does_not_run_as_root(mysqls):
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{mysqls.pid('s0')}/status").read_text().splitlines()
                  if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_a_server_listens_on_its_socket_alone(mysqls):
    assert ask(mysqls.root("s0"), "SELECT @@skip_networking", database=False) == [(1,)]


def test_what_is_acknowledged_is_on_disk(mysqls):
    assert ask(mysqls.root("s0"), "SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite", database=False) == [
        (1, 1)]


def test_client_cnf_lets_its_owner_in(mysqls, folder):
    path = folder / "s0" / "client.cnf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = subprocess.run(["mariadb", f"--defaults-file={path}", "-Ne", "SELECT CURRENT_USER(), DATABASE()"],
                          capture_output=True, text=True, check=True, env={"PATH": PATH})
    assert said.stdout.split() == ["root@localhost", "tests"]


def test_server_pid_is_its_pid(mysqls, folder):
    assert int((folder / "s0" / "server.pid").read_text()) == mysqls.pid("s0")


def test_lost_passwords_are_made_anew(mysqls, folder):
    (place,) = mysqls.databases(1)
    (folder / "s0" / "client.cnf").unlink()
    with pytest.raises(CannotStart, match=r"client.cnf, which has the passwords, is missing"):
        another(mysqls).up(("s0",), soon())
    another(mysqls).stop("s0")
    mysqls.start("s0")
    assert mysqls.root("s0").password != place.password
    assert ask(mysqls.root("s0").in_database(place.database), "SELECT DATABASE()") == [(place.database,)]


def test_no_password_is_on_a_command_line_in_an_environment_or_in_a_log(mysqls, folder):
    account = Account.read(folder / "s1")
    process = Path(f"/proc/{mysqls.pid('s1')}")
    places = [(process / "cmdline").read_bytes(), (process / "environ").read_bytes(),
              (folder / "s1" / "server.log").read_bytes()]
    assert not [place for place in places for secret in (account.password, account.root_password)
                if secret.encode() in place]
    assert account.password != account.root_password != Account.read(folder / "s0").root_password


def test_nobody_gets_in_without_a_password(mysqls, folder):
    users = ask(mysqls.root("s0"), "SELECT User, Host FROM mysql.user WHERE User <> 'mariadb.sys'", database=False)
    assert sorted(users) == [("hotpath", "localhost"), ("root", "localhost")]
    socket = folder / "s0" / "data" / "my.sock"
    said = subprocess.run(["mariadb", "--no-defaults", "-uroot", f"--socket={socket}", "-e", "SELECT 1"],
                          capture_output=True, text=True, check=False, env={"PATH": PATH})
    assert "1045" in said.stderr


def test_a_router_may_do_anything_to_its_databases_and_nothing_else(mysqls):
    endpoint = mysqls.backend.up(("s0",), soon())["s0"]
    ask(endpoint, "CREATE TABLE its_own (id INT)")
    ask(endpoint, "DROP TABLE its_own")
    grants = [row[0] for row in ask(endpoint, "SHOW GRANTS")]
    assert not [grant for grant in grants if "*.*" in grant and "USAGE" not in grant]


def test_a_second_up_changes_nothing(mysqls):
    before = [mysqls.pid(name) for name in mysqls.names]
    first, second = (another(mysqls).up(mysqls.names, soon()) for _ in range(2))
    assert first == second
    assert [mysqls.pid(name) for name in mysqls.names] == before


def test_a_killed_server_is_started_on_its_data(mysqls):
    (place,) = mysqls.databases(1)
    ask(place, "CREATE TABLE kept (id INT)")
    ask(place, "INSERT INTO kept VALUES (7)")
    killed = mysqls.pid("s0")
    mysqls.kill("s0")
    assert mysqls.backend.server("s0").up is False
    assert mysqls.backend.server("s0").pid is None
    another(mysqls).up(("s0",), soon())
    assert ask(place, "SELECT id FROM kept") == [(7,)]
    assert mysqls.pid("s0") != killed


def test_several_at_once_start_one_server(mysqls):
    for name in ("s0", "s1"):
        mysqls.kill(name)
    with ThreadPoolExecutor(4) as threads:
        ups = list(threads.map(lambda _: another(mysqls).up(mysqls.names, soon()), range(4)))
    assert all(up == ups[0] for up in ups)
    # A second one would have ended: InnoDB's files are locked.
    assert "Unable to lock" not in (mysqls.folder / "s0" / "server.log").read_text()


def test_stop_ends_it_in_order_and_up_starts_it_again(mysqls, folder):
    pid = mysqls.pid("s2")
    another(mysqls).stop("s2")
    assert not is_alive(pid)
    assert "Shutdown complete" in (folder / "s2" / "server.log").read_text()
    assert not (folder / "s2" / "server.pid").exists()
    another(mysqls).stop("s2")      # there is nothing to stop
    mysqls.start("s2")


def test_one_that_was_stopped_by_a_signal_is_ended_too(mysqls):
    with mysqls.silent("s2"):
        another(mysqls).stop("s2")
    mysqls.start("s2")


def test_one_that_does_not_answer_is_named_and_left_alone(mysqls):
    pid = mysqls.pid("s3")
    with mysqls.silent("s3"), pytest.raises(CannotStart, match=rf"s3: the server \(pid {pid}\) does not answer"):
        another(mysqls).up(("s3",), time.monotonic())
    assert mysqls.pid("s3") == pid
    mysqls.start("s3")


def test_one_that_ends_while_it_starts_says_why(mysqls):
    backend = another(mysqls, process=ProcessConfig(args=("--no-such-option",)))
    with pytest.raises(CannotStart, match=r"bad: the server ended while it started: .*no-such-option"):
        backend.create("bad")
    backend.purge("bad")
    assert not backend.exists("bad")


def test_one_more_is_made_and_purged_without_a_trace(mysqls, folder):
    endpoint = mysqls.backend.create("s9")
    assert ask(endpoint, "SELECT DATABASE()") == [("tests",)]
    assert mysqls.backend.all() == (*mysqls.names, "s9")
    pid = mysqls.pid("s9")
    mysqls.backend.purge("s9")
    assert not is_alive(pid)
    assert not (folder / "s9").exists()
    mysqls.backend.purge("s9")      # nothing is left to purge


def test_data_that_are_gone_are_not_made_anew(mysqls, folder):
    mysqls.backend.create("s9")
    mysqls.backend.stop("s9")
    shutil.rmtree(folder / "s9" / "data")
    assert not mysqls.backend.exists("s9")
    with pytest.raises(CannotStart, match=r"s9: its data, .*/s9/data, are gone"):
        mysqls.backend.create("s9")
    mysqls.backend.purge("s9")


def test_the_map_has_a_database_on_the_first(mysqls):
    assert ask(mysqls.backend.meta("s0"), "SELECT DATABASE()") == [("tests_meta",)]
    # Whatever the configuration says is the first by now.
    assert mysqls.backend.meta("s3") == mysqls.backend.meta("s0")


def test_a_directory_of_somebody_else_is_refused_and_left_alone(mysqls, folder):
    theirs = folder / "s8"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(Taken, match=str(theirs)):
        mysqls.backend.create("s8")
    with pytest.raises(Taken, match=str(theirs)):
        mysqls.backend.purge("s8")
    assert (theirs / "thesis.txt").read_text() == "years of work"
    shutil.rmtree(theirs)


def test_a_data_directory_of_another_cluster_is_refused(mysqls, folder):
    other = Processes(ShardConfig(cluster="other", backend="process", data=str(folder)))
    with pytest.raises(Taken, match="belongs to the cluster 'tests'"):
        other.up(("s0",), soon())


def test_a_path_that_no_socket_can_have_is_refused(tmp_path):
    long = tmp_path / ("x" * 100)
    with pytest.raises(CannotStart, match="107"):
        Processes(ShardConfig(backend="process", data=str(long))).up(("s0",), soon())


@pytest.mark.parametrize("binary", ["no-such-mysqld", "/no/such/mysqld"])
def test_a_missing_program_says_what_to_install(tmp_path, binary):
    config = ShardConfig(backend="process", data=str(tmp_path / "data"), process=ProcessConfig(binary=binary))
    with pytest.raises(CannotStart, match=rf"process.binary: {binary} is not installed .*apt-get install"):
        Processes(config).up(("s0",), soon())
    assert not (tmp_path / "data").exists()


def test_a_program_that_is_no_server_is_refused(tmp_path):
    config = ShardConfig(backend="process", data=str(tmp_path), process=ProcessConfig(binary="true"))
    with pytest.raises(CannotStart, match="neither mariadbd nor mysqld"):
        Processes(config).up(("s0",), soon())


UP = """
import sys, time
from hotpath.shard.backend.process import Processes
from hotpath.shard.config import ShardConfig
Processes(ShardConfig(cluster="tests", backend="process", data=sys.argv[1])).up(("s0", "s1"), time.monotonic() + 60)
print("up", flush=True)
sys.stdin.read()
"""


def test_servers_outlive_a_killed_command_and_an_up_that_was_killed_half_way_is_carried_on():
    with running_mysqls(0) as group:
        begin = subprocess.Popen([sys.executable, "-P", "-c", UP, str(group.folder)], start_new_session=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # Half way: the first directory stands, or is about to.
        wait_for(lambda: list(group.folder.glob(".template-*")) or begin.poll() is not None, "the template")
        begin.kill()
        begin.communicate()
        command = subprocess.Popen([sys.executable, "-P", "-c", UP, str(group.folder)], start_new_session=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert command.stdout.readline() == b"up\n"
        os.killpg(command.pid, 9)
        command.communicate()
        group.names = ("s0", "s1")
        assert all(is_alive(group.pid(name)) for name in group.names)
        group.start()
