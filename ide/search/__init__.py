"""Finding text, and files by name, in a project."""
from hotpath.ide.search.finding import Query, find
from hotpath.ide.search.naming import names

__all__ = ["Query", "find", "names"]
