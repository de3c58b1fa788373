"""What happens in a forked child."""
from __future__ import annotations

import os
from collections.abc import Callable


def child_says(do: Callable[[], object]) -> str:
    """What `do` answers there, or raises."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = repr(do())
        except BaseException as error:
            answer = f"raised {error!r}"
        os.write(writable, answer.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer
