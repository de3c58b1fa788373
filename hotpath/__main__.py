"""`python -m hotpath` is `hotpath`."""
from hotpath.up import main

raise SystemExit(main())
