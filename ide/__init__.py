"""A cloud IDE with a container per project."""
