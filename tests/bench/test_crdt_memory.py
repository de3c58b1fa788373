import subprocess
import sys

import pytest

from bench import crdt_memory


@pytest.mark.parametrize("kind", crdt_memory.KINDS)
def test_each_kind_of_memory_is_measured_in_a_process_of_its_own(kind):
    argv = [sys.executable, "-P", crdt_memory.__file__, kind, "20000"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_keys_and_values_have_the_sizes_that_are_taken_off():
    assert len(crdt_memory.key_of(7).encode()) == crdt_memory.KEY_BYTES
    assert len(crdt_memory.value_of(7)) == crdt_memory.VALUE_BYTES
