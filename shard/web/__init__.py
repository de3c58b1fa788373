"""The cluster over HTTP: rows, administration, events, metrics, and the page."""
