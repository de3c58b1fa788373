"""What a project takes, against du and against what was put there."""
import os
import subprocess

import pytest

from hotpath.ide.usage import measure


def blocks_by_du(root):
    out = subprocess.run(["du", "-s", "-x", "--block-size=512", root], check=True, capture_output=True, text=True)
    return int(out.stdout.split()[0]) * 512


def test_it_is_what_du_says_less_the_folder_itself(tmp_path):
    for i in range(30):
        folder = tmp_path / f"d{i % 7}" / f"e{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i}").write_bytes(os.urandom(i * 1000))
    (tmp_path / "again").hardlink_to(tmp_path / "d0" / "e0" / "f0")
    os.sync()
    usage = measure(tmp_path)
    assert usage.bytes == blocks_by_du(tmp_path) - tmp_path.stat().st_blocks * 512
    assert usage.files == 30 + 1 + 7 + len(list(tmp_path.glob("d*/e*")))


def test_an_empty_project_takes_nothing(tmp_path):
    assert measure(tmp_path) == (0, 0)


def test_a_second_name_takes_no_blocks(tmp_path):
    (tmp_path / "a").write_bytes(bytes(100_000))
    once = measure(tmp_path).bytes
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert measure(tmp_path) == (once, 2)


def test_holes_take_nothing(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1024**3)
    assert measure(tmp_path).bytes < 1024**2


def test_a_link_counts_for_itself(tmp_path):
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "big").write_bytes(bytes(1024**2))
    (inside / "folder").symlink_to(outside)
    (inside / "file").symlink_to(outside / "big")
    usage = measure(inside)
    assert usage.files == 2
    assert usage.bytes < 1024**2


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "none")
