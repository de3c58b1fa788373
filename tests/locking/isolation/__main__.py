"""Write locking/ISOLATION.md anew, from what this machine's databases do."""
from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hotpath import locking
from tests.locking.databases import BACKENDS, running
from tests.locking.isolation.document import PATH, version_of, written
from tests.locking.isolation.measure import COLUMNS, measured


def main() -> None:
    """Measure all backends."""
    tables, versions = {}, {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for backend in BACKENDS:
            url = f"sqlite:///{folder / 'isolation.db'}" if backend == "sqlite" else (
                stack.enter_context(running(backend)).new_url())
            tables[backend] = measured(backend, url, COLUMNS[backend])
            engine = locking.engine(url)
            versions[backend] = version_of(engine)
            engine.dispose()
    PATH.write_text(written(tables, versions))


if __name__ == "__main__":
    main()
