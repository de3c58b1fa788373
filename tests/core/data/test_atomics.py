"""The 16-byte swap, as x86-64 has it and as everybody else does it."""
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[3] / "core" / "data"

PROGRAM = r"""
/* Four processes swap one pair; some are killed while they do. Exit status 0: nothing was torn, lost or left held. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomics.h"

enum { PROCESSES = 4, SWAPS = 50000, KILLS = 20 };

static void swap_once(pair_t *pair) {
    pair_t seen, wanted;
    do {
        seen = load_pair(pair);
        wanted.first = seen.first + 2;
        wanted.second = seen.second + 1;
    } while (!swap_pair(pair, seen, wanted));
}

static void expect(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

int main(void) {
    pair_t *pairs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pair_t end, wrong = {2, 0};
    int i, n;

    for (i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            for (n = 0; n < SWAPS; n++)
                swap_once(&pairs[0]);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    end = load_pair(&pairs[0]);
    expect(end.first == 2u * PROCESSES * SWAPS && end.second == PROCESSES * SWAPS, "a swap was lost or torn");
    expect(!swap_pair(&pairs[0], wrong, wrong), "swapped though first differs");
    wrong.first = end.first;
    expect(!swap_pair(&pairs[0], wrong, wrong), "swapped though second differs");

    for (i = 0; i < KILLS; i++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                swap_once(&pairs[1]);
        end = load_pair(&pairs[1]);
        while (load_pair(&pairs[1]).second < end.second + 100 * (i + 1))
            ;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        swap_once(&pairs[1]);
        /* The portable swap may be cut between its two stores: `second` is then one ahead. */
        end = load_pair(&pairs[1]);
        expect((uint64_t)end.second - end.first / 2 <= (uint64_t)i + 1, "a killed process left more than one step");
    }
#ifdef HOTPATH_PORTABLE_PAIRS
    pairs[2].first = 7;
    swap_once(&pairs[2]);
    expect(load_pair(&pairs[2]).first == 8, "the mark of a killed process was not taken away");
#endif
    return 0;
}
"""


@pytest.mark.parametrize("options", [[], ["-DHOTPATH_PORTABLE_PAIRS"]], ids=["native", "portable"])
def test_a_pair_is_swapped_whole_and_outlives_who_is_killed(options, tmp_path):
    compiler = shlex.split(sysconfig.get_config_var("CC"))
    (tmp_path / "pairs.c").write_text(PROGRAM)
    subprocess.run([*compiler, "-O2", "-Wall", "-Werror", *options, f"-I{HEADERS}", tmp_path / "pairs.c",
                    "-o", tmp_path / "pairs"], check=True)
    subprocess.run([tmp_path / "pairs"], check=True, timeout=60)
