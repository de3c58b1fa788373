"""Masking keys that no peer can guess (RFC 6455 section 5.3), fetched from the kernel a thousand at a time."""

def forget() -> None:
    """Throw the pool away: a child must not go on with the keys of its parent."""
