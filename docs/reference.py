"""The configuration reference of each page, made from the typed configuration itself: `make docs`.

What a key does stands beside it in its class: as the comment behind it, else as the lines of comment above it, else,
for one that opens a section of its own, as that section's docstring. What it may be and its default are the types'.
Between its two markers a page is ours; all else in it is written by hand.
"""
from __future__ import annotations

import argparse
import ast
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import DictType, Field, NoneType, StructType, Type, UnionType, VarTupleType, type_info

from hotpath.chat.config import ChatConfig
from hotpath.core.config import Section, allowed, plain_of, unmarked
from hotpath.core.scalars import Spelling, read_duration, read_size, write_size
from hotpath.core.serve import ServeConfig
from hotpath.crdt.config import CrdtConfig
from hotpath.ide.config import IdeConfig
from hotpath.locking.config import LockingConfig
from hotpath.proxy.config import ProxyConfig
from hotpath.shard.config import ShardConfig

FOLDER = Path(__file__).parent
PAGES: Mapping[str, type[Section]] = {
    "core": ServeConfig, "proxy": ProxyConfig, "shard": ShardConfig, "crdt": CrdtConfig, "chat": ChatConfig,
    "ide": IdeConfig, "locking": LockingConfig,
}
BEGIN = "<!-- made by `make docs` from the configuration's classes: change them, not this -->"
END = "<!-- end of what is made -->"


class Key(NamedTuple):
    """A line of the reference; `words` is empty where the class has none."""

    path: str
    allowed: str
    default: str
    words: str


class Part(NamedTuple):
    """A section of a configuration: where it stands, what it is, and its keys."""

    path: str
    words: str
    keys: list[Key]


def parts(model: type[Section], at: str = "") -> Iterator[Part]:
    """The section itself, and then all that stand in it. Lists are `key[]`, mappings `key.NAME`."""
    fields = cast(StructType, type_info(model)).fields
    prefix = f"{at}." if at else ""
    yield Part(at, summary_of(model), [
        key_of(field, prefix + field.encode_name, words_of(model, field.name)) for field in fields])
    for field in fields:
        for below, suffix in sections_in(field.type):
            yield from parts(below, prefix + field.encode_name + suffix)


def key_of(field: Field, path: str, words: str) -> Key:
    """Its line."""
    below = next((section for section, _ in sections_in(field.type)), None)
    return Key(path, shown(field.type), default_of(field), words or (summary_of(below) if below is not None else ""))


def words_of(model: type, name: str) -> str:
    """What stands beside the field, in the class or the nearest of its bases that says something."""
    return next((words for one in model.__mro__ if (words := comments_of(one).get(name))), "")


def summary_of(model: type) -> str:
    """The first paragraph of its docstring."""
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())


@cache
def comments_of(model: type) -> dict[str, str]:
    """By field: the comment behind it, else the lines of comment right above it."""
    if model is object or not issubclass(model, Section) or model is Section:
        return {}
    source = inspect.getsource(model)
    beside, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            is_alone = token.line[:token.start[1]].isspace()
            (alone if is_alone else beside)[token.start[0]] = token.string.lstrip("# ")
    found = {}
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = [beside[n] for n in range(node.lineno, (node.end_lineno or node.lineno) + 1) if n in beside]
            above = node.lineno - 1
            while not lines and above in alone:
                above -= 1
            found[node.target.id] = " ".join(lines or [alone[n] for n in range(above + 1, node.lineno)])
    return found


def sections_in(kind: Type) -> Iterator[tuple[type[Section], str]]:
    """The sections that a value of `kind` may hold, and how their place is spelled."""
    kind, _ = unmarked(kind)
    if isinstance(kind, UnionType):
        for one in kind.types:
            yield from sections_in(one)
    elif isinstance(kind, StructType):
        yield cast(type[Section], kind.cls), ""
    elif isinstance(kind, VarTupleType):
        yield from ((one, f"[]{rest}") for one, rest in sections_in(kind.item_type))
    elif isinstance(kind, DictType):
        yield from ((one, f".NAME{rest}") for one, rest in sections_in(kind.value_type))


def shown(kind: Type) -> str:
    """What a value of `kind` may be, in the words of the error that refuses another."""
    kind, marks = unmarked(kind)
    spelling = marks.get("spelling")
    if isinstance(spelling, Spelling):
        return spelled(spelling) + bounds(kind)
    if isinstance(kind, UnionType):
        words = ["off" if marks.get("off") and isinstance(one, NoneType) else shown(one) for one in kind.types]
        # "a, b or c or null" would leave open what belongs together.
        return ("; or " if any(" or " in one or "," in one for one in words) else " or ").join(dict.fromkeys(words))
    if isinstance(kind, VarTupleType):
        item = shown(kind.item_type)
        return f"{item}; or a list" if marks.get("one_or_many") else f"a list of: {item}"
    if isinstance(kind, DictType):
        return f"a mapping to: {shown(kind.value_type)}"
    if isinstance(kind, StructType):
        short = cast(type[Section], kind.cls).short
        return "a section" + (f", or its {short} alone" if short else "")
    return allowed(kind)


def spelled(spelling: Spelling) -> str:
    """What its reader takes: it says so when it refuses."""
    known = {read_duration: "duration", read_size: "size"}.get(spelling.read)   # type: ignore[call-overload]
    if known:
        return str(known)
    try:
        spelling.read("\0")
    except ValueError as error:
        return str(error).partition("allowed: ")[2]
    return "a regular expression"       # the only text in which any letter may stand


def bounds(kind: Type) -> str:
    """Of a size."""
    low, high = getattr(kind, "ge", None), getattr(kind, "le", None)
    if low is None:
        return ""
    return f", {write_size(low)} to {write_size(high)}" if high is not None else f", from {write_size(low)}"


def default_of(field: Field) -> str:
    """As YAML spells it; empty for a section, whose keys have their own."""
    if field.required:
        return "must be given"
    value = field.default if field.default is not NODEFAULT else field.default_factory()
    if isinstance(value, Section):
        return ""
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], Section) and value[0].short:
        value, kind = getattr(value[0], value[0].short), type_info(type(getattr(value[0], value[0].short)))
    else:
        kind = field.type
    return f"`{flow(plain_of(value, kind), one=bool(unmarked(kind)[1].get('one_or_many')))}`"


def flow(value: object, *, one: bool = False) -> str:
    """On one line, as one would write it."""
    if isinstance(value, list):
        texts = [flow(item) for item in value]
        return texts[0] if one and len(texts) == 1 else f"[{', '.join(texts)}]"
    if isinstance(value, str):
        return value if re.search(r"^$|^[-{}\[\]]$|: |:$", value) is None else f'"{value}"'
    return msgspec.json.encode(value).decode()


def reference(model: type[Section]) -> str:
    """All of it, as Markdown."""
    blocks = []
    for part in parts(model):
        if part.path:
            blocks.append(f"#### `{part.path}`\n\n{part.words}")
        head = ["| key | may be | default | what it does |", "|---|---|---|---|"]
        blocks.append("\n".join([*head, *map(row, part.keys)]))
    return "\n\n".join(blocks)


def row(key: Key) -> str:
    """Its line of the table."""
    pattern = re.sub(r"\blike (\^\S+)", r"like `\1`", key.allowed)
    cells = [f"`{key.path}`", pattern, key.default, key.words.removesuffix(".")]
    return " | ".join(["", *(text.replace("|", "\\|") for text in cells), ""]).strip()


def wordless(model: type[Section]) -> list[str]:
    """The keys that nobody explains."""
    return [key.path for part in parts(model) for key in part.keys if not key.words]


def renewed(page: str, model: type[Section]) -> str:
    """The page with today's reference. ValueError: it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{reference(model)}\n\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or look at them: 1 for what is stale, or for a key without words."""
    parser = argparse.ArgumentParser(description="Write the configuration reference into the pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page is stale")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages are (default: beside this file)")
    given = parser.parse_args(argv)
    faults = []
    for name, model in PAGES.items():
        file = given.folder / f"{name}.md"
        faults += [f"{model.__module__}: {path}: no words beside it" for path in wordless(model)]
        old = file.read_text()
        new = renewed(old, model)
        if old != new and given.check:
            faults.append(f"{file}: stale; `make docs` renews it")
        elif old != new:
            file.write_text(new)
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
