"""HTTP/1.1 as h11 speaks it to Python: events in, events out. hotpath.core.wire.http1 has all its names."""
