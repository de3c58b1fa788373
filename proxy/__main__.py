"""`python -m hotpath.proxy` is `hotpath-proxy`."""
from .server import main

raise SystemExit(main())
