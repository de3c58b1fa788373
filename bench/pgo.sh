#!/bin/bash
# The extension modules once more, laid out as a load has taught the compiler: gcc's -fprofile-generate, then -fprofile-use.
#
# bench/pgo.sh [CELL...]: cells of `bench proxy --list` to train with. To go back: make clean build.
#
# Not link-time optimisation too: each module is one source, so there is nothing to link it with.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"
# What we say here takes the place of what Python was built with.
flags=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CFLAGS"))')
counts=$(mktemp -d --tmpdir hotpath-pgo-XXXXXX)
trap 'rm -rf "$counts"' EXIT

cells=("$@")
((${#cells[@]})) || cells=("1 worker: 64 B" "1 worker: 64 KiB" "1 worker: 1 MiB" "request: both" "client: 64 B")

build() {
    echo "pgo: building with $*"
    CFLAGS="$flags $*" "$python" -P setup.py build_ext --inplace --force --parallel "$(nproc)" > build.log 2>&1 ||
        { tail -30 build.log; exit 1; }
}

build -fprofile-generate -fprofile-update=prefer-atomic -fprofile-dir="$counts"

# Counters are written by exit(), and a forked worker ends with _exit(), so that what its master registered does not run
# twice. While we train, the one is the other.
printf '#include <stdlib.h>\nvoid _exit(int status) { exit(status); }\n' |
    gcc -shared -fPIC -x c -o "$counts/exit.so" -
echo "pgo: training with ${cells[*]}"
LD_PRELOAD="$counts/exit.so" "$python" -P bench proxy --rivals hotpath --rounds 1 --seconds 2 "${cells[@]/#/--only=}" > "$counts/training" ||
    { cat "$counts/training"; exit 1; }
echo "pgo: $(find "$counts" -name '*.gcda' | wc -l) of $(find -L hotpath -name '*.pyx' | wc -l) modules were at work"

# What the training did not reach stays as it was, instead of being made small (-fprofile-partial-training).
build -fprofile-use="$counts" -fprofile-partial-training -Wno-missing-profile
