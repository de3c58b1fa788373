"""`python -P -m hotpath.core.echo`."""
import sys

from .command import main

sys.exit(main())
