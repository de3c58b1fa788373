"""WebSocket: frames and messages in C, and the face of wsproto."""
