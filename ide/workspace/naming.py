"""What may a project be called, where others have names already? Those are given folded: case makes no difference."""
from __future__ import annotations

from collections.abc import Collection

from hotpath.ide.errors import Invalid, NameTaken

MAX_NAME = 80


def checked(name: str, taken: Collection[str]) -> str:
    """The name without blanks around it. Raises Invalid, NameTaken."""
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise Invalid(f"a name has 1 to {MAX_NAME} printable characters")
    if name.casefold() in taken:
        raise NameTaken(f"there is a project called {name!r} already")
    return name


def of_restored(name: str, taken: Collection[str]) -> str:
    """What a copy of the project of this name is called: a name that nobody has."""
    whole = f"{name} (restored)"
    free = whole[:MAX_NAME].rstrip()
    number = 2
    while free.casefold() in taken:
        end = f" {number}"
        free, number = whole[:MAX_NAME - len(end)] + end, number + 1
    return free
