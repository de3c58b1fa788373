"""A process that saves one file over and over, says what was acknowledged, and is killed."""
from __future__ import annotations

import sys
from pathlib import Path

from hotpath.ide.errors import Stale
from tests.ide.files import places


def main(folder: str, name: str) -> None:
    """Save until killed: a line with the ETag for each save that returned."""
    place = places.place(Path(folder), history=places.HistoryConfig(keep=1000))
    path = name.encode()
    n = 0
    print("ready", flush=True)
    while True:
        n += 1
        body = b"%s %d\n" % (path, n) * (1 + n % 50)
        try:
            etag = place.files.put(path, body, match="*", create=False)[1]
        except Stale:
            etag = place.files.put(path, body, match=None, create=True)[1]
        print(etag, flush=True)
        if n % 7 == 0:
            place.files.move(path, path + b".moved", overwrite=True)
            place.files.copy(path + b".moved", path, overwrite=True)
            print("moved", flush=True)
        if n % 11 == 0:
            place.files.delete(path)
            print("deleted", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
