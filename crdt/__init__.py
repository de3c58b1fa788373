"""A last-write-wins dictionary that converges."""
