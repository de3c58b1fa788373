"""A statement of SQL with a "?" for each value, cut at them once."""
from __future__ import annotations


class Statement:
    """Immutable, and equal only to itself; a "?" in it is always a value's place."""

    __slots__ = ("places", "template", "text")

    def __init__(self, text: str) -> None:
        """`text`, as SQLite takes it."""
        self.text = text
        # The pieces around the values, with a gap at every odd index: filling a copy of it is the fastest rendering.
        self.template: list[bytes] = []
        for piece in text.split("?"):
            self.template += piece.encode(), b""
        self.template.pop()
        self.places = len(self.template) // 2

    @classmethod
    def verbatim(cls, text: str) -> Statement:
        """One without values, in which a "?" is a question mark."""
        statement = cls("")
        statement.text = text
        statement.template = [text.encode()]
        return statement

    def __repr__(self) -> str:
        return f"Statement({self.text!r})"
