"""Items, locks, counters and scenarios over HTTP."""
