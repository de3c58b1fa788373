"""The IDE over HTTP: the gate, sessions, routes, events and pages."""
