"""Load for a running chat: thousands of sockets in one process, each of which checks what it gets."""
