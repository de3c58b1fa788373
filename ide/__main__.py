"""`python -m hotpath.ide` is `hotpath-ide`."""
from .command import main

if __name__ == "__main__":
    raise SystemExit(main())
