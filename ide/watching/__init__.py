"""What changes in the projects' folders, told to their pages."""
from hotpath.ide.watching.watcher import Watcher

__all__ = ["Watcher"]
