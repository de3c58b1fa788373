"""System calls: the epoll loop, accepting, streams. The only folder that makes them."""
