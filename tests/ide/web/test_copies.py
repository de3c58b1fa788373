from __future__ import annotations

import subprocess
import sys

from tests.ide.backup.s3 import bucket, s3_server  # noqa: F401
from tests.ide.paths import public_folder
from tests.ide.servers import serving, written


def test_a_project_is_copied_and_taken_up_here_and_on_the_command_line(bucket):  # noqa: F811
    with public_folder() as folder:
        file = written(folder, backup={"bucket": bucket.name, "endpoint": bucket.endpoint, "every": "1h"},
                       templates={"bare": {"image": "none", "files": {"a.txt": "one\n"}}})
        with serving(file) as ide:
            made = ide.create("copied", "bare", start=False)
            path = f"/api/projects/{made['id']}"
            ide.put(made["id"], "deep/b.txt&parents=1", b"two")
            # Upkeep makes one by itself, and it may be first.
            said = ide.right(201, "POST", f"{path}/backups")
            assert set(said) >= {"seq", "files", "bytes", "uploaded"}
            assert (said["files"], said["bytes"]) == (2, 7)
            listed = ide.right(200, "GET", f"{path}/backups")["backups"]
            assert said["seq"] in [one["seq"] for one in listed]
            assert set(listed[0]) >= {"seq", "time", "files", "bytes"}
            answer = ide.ask("POST", f"{path}/backups/{said['seq']}/restore")
            new = answer.json()
            assert (answer.status, answer.value("location")) == (201, f"/api/projects/{new['id']}")
            assert new["id"] != made["id"]
            assert ide.right(200, "GET", f"/api/projects/{new['id']}/file?path=deep/b.txt").body == b"two"
            assert ide.right(404, "POST", f"{path}/backups/{said['seq'] + 50}/restore")["code"] == "not-found"
            assert ide.served.stop() == 0
        words = ["restore", made["id"], "--name", "from the command line", "-c", str(file)]
        ended = subprocess.run([sys.executable, "-P", "-m", "hotpath.ide", *words], capture_output=True, text=True,
                               timeout=60)
        assert ended.returncode == 0, ended.stderr
        id = ended.stdout.split()[-1]
        with serving(file) as ide:
            assert ide.right(200, "GET", f"/api/projects/{id}")["name"] == "from the command line"
            assert ide.right(200, "GET", f"/api/projects/{id}/file?path=deep/b.txt").body == b"two"
