"""hotpath-echo: the core as a server to load with wrk or a WebSocket client."""
