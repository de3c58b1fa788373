"""The 517 cases that Autobahn tries on a WebSocket server, by their numbers, each with its strict outcome only."""
