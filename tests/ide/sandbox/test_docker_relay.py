"""What carries bytes out of a container whose network we may not enter."""
import shutil
import subprocess
import threading
from socket import create_server

import pytest

from hotpath.ide.sandbox.docker.relay import _DIAL


@pytest.mark.skipif(shutil.which("python3") is None, reason="images have one; so the script asks for it")
def test_a_projects_own_modules_are_not_taken_for_pythons(tmp_path):
    """Its working folder is the project's, where a file may be called like a module of Python's."""
    (tmp_path / "socket.py").write_text("raise SystemExit('not this one')\n")

    def answer():
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")

    with create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        done = subprocess.run(["sh", "-c", _DIAL, "sh", str(server.getsockname()[1]), "127.0.0.1"], cwd=tmp_path,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert done.stdout == b"hello", done.stderr
