"""`python -P bench WHAT`: loads this folder as the package `bench`, then runs its command line.

`python -m bench` would need the root on sys.path, where `core` becomes a second module beside `hotpath.core`. Python
puts this folder itself there, where profile.py would hide the standard library's `profile`; so it leaves again.
"""
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load_package() -> None:
    """Make `bench` importable without any folder on sys.path."""
    spec = importlib.util.spec_from_file_location("bench", HERE / "__init__.py", submodule_search_locations=[str(HERE)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE]
    load_package()
    # Before anything loads Python's ssl, else MySQL's driver in C cannot be loaded on Debian 12.
    import hotpath.shard  # noqa: F401
    from bench.compare import main

    sys.exit(main())
