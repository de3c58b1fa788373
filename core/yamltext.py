"""YAML 1.2 text to a tree of nodes that know their line, and a tree of plain values back to text.

PyYAML reads YAML 1.1, where `22:22` is 1342, `on` and `NO` are booleans, `010` is 8, and a repeated key silently wins.
We take its parser up to the nodes and give the scalars their meaning ourselves, by the core schema (YAML 1.2.2, 10.3).
"""
from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from .errors import ConfigError
from .scalars import Scalar, shown

# A config file is written by hand; what is larger is not one.
MAX_BYTES = 16 * 1024**2
# Python refuses to read or write an int of more than 4300 digits. What is longer than any value stays text.
MAX_NUMBER = 400
# Aliases let a few lines spell out millions of nodes; no honest file comes near.
MAX_NODES = 200_000

Plain = Scalar | Sequence["Plain"] | Mapping[str, "Plain"]
PathTo = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}
_VARIABLE = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{)"
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar."""

    line: int
    value: Scalar


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping, in the order of the file: key -> (line of the key, value)."""

    line: int
    entries: Mapping[str, tuple[int, Node]]


Node = Leaf | Items | Entries


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's reader in pure Python: its C twin recurses on the C stack, and a file of brackets overflows it."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def resolve(self, kind: type[yaml.Node], value: object, implicit: tuple[bool, bool]) -> str:
        """Only asked for nodes without an explicit tag: tell plain scalars from quoted ones."""
        return "plain" if kind is yaml.ScalarNode and implicit[0] else "untagged"


def parse(text: str, file: str) -> Node:
    """The one document of `text`; raises ConfigError naming `file`. An empty text is an empty mapping."""
    try:
        root = _Loader(text).get_single_node()
        return Entries(1, {}) if root is None else _Reading(file).node(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(file, line, "", f"not YAML: {said}") from None
    except yaml.YAMLError as error:
        raise ConfigError(file, 1, "", f"not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(file, 1, "", "nested too deeply") from None


def put(node: Node, steps: Sequence[str], value: Node) -> Node:
    """The tree with `value` at that place; what is no mapping on the way there stays, to be refused as it is."""
    if isinstance(node, Leaf) and node.value is None:
        node = Entries(node.line, {})
    if not isinstance(node, Entries):
        return node
    first, *more = steps
    line, below = node.entries.get(first, (0, Leaf(0, None)))
    below = put(below, more, value) if more else value
    return Entries(node.line, {**node.entries, first: (line if more else 0, below)})


def node_of(value: Plain) -> Node:
    """The tree of a value that no text spells; its line is 0."""
    if isinstance(value, Mapping):
        return Entries(0, {name: (0, node_of(below)) for name, below in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Items(0, tuple(node_of(item) for item in value))
    return Leaf(0, value)


def dotted(path: PathTo) -> str:
    """`upstreams.api.servers[0].address`."""
    keys = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(key if key.isprintable() else f".{shown(key[1:])}" for key in keys).removeprefix(".")


def unparse(value: Plain) -> str:
    """YAML text that `parse` reads back as `value`."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def meaning(text: str) -> Scalar:
    """What a plain scalar means in the core schema: null, a boolean, a number, else text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Reading:
    """Turns PyYAML's nodes into ours: counts them, refuses tags and repeated keys, fills in variables."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.n_nodes = 0

    def node(self, node: yaml.Node, path: PathTo) -> Node:
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            self.fail(node, path, f"more than {MAX_NODES} values once aliases are followed")
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return Leaf(line, self.scalar(node, path))
        if node.tag not in ("untagged", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self.fail(node, path, f"the tag {shown(node.tag)} is not allowed; allowed: none")
        if isinstance(node, yaml.SequenceNode):
            return Items(line, tuple(self.node(item, (*path, i)) for i, item in enumerate(node.value)))
        entries: dict[str, tuple[int, Node]] = {}
        for key, value in node.value:
            name = self.key(key, path)
            if name in entries:
                self.fail(key, (*path, name), f"given twice; the first stands on line {entries[name][0]}")
            entries[name] = (key.start_mark.line + 1, self.node(value, (*path, name)))
        return Entries(line, entries)

    def key(self, node: yaml.Node, path: PathTo) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, path, "a key is a list or a mapping; allowed: text")
        return self.filled_in(node, path, self.sound(node, path))

    def scalar(self, node: yaml.ScalarNode, path: PathTo) -> Scalar:
        text = self.filled_in(node, path, self.sound(node, path))
        if node.tag == "plain":
            return meaning(text)
        if node.tag not in ("untagged", "tag:yaml.org,2002:str"):
            self.fail(node, path, f"the tag {shown(node.tag)} is not allowed; allowed: none")
        return text

    def sound(self, node: yaml.ScalarNode, path: PathTo) -> str:
        """The node's text; escapes can spell characters that no file name, header or C string can hold."""
        text: str = node.value
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            self.fail(node, path, f"{shown(text)} holds a NUL or half a surrogate pair")
        return text

    def filled_in(self, node: yaml.Node, path: PathTo, text: str) -> str:
        """`text` with its variables replaced; a default also stands in for an empty variable, as in a shell."""

        def value_of(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            name, default = match["name"], match["default"]
            if match["broken"]:
                self.fail(node, path, f"{shown(text)} has an unfinished ${{; allowed: ${{NAME}}, ${{NAME:-default}}, "
                                      "and $${ for a literal ${")
            value = os.environ.get(name)
            if not value and default is not None:
                return default
            if value is None:
                self.fail(node, path, f"{name} is not in the environment; allowed: set it, or ${{{name}:-default}}")
            return value

        return _VARIABLE.sub(value_of, text) if "${" in text else text

    def fail(self, node: yaml.Node, path: PathTo, message: str) -> NoReturn:
        raise ConfigError(self.file, node.start_mark.line + 1, dotted(path), message)


class _Dumper(yaml.SafeDumper):
    """Quotes what `parse` would not read back as text, and always writes lists and mappings out in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        escaped = value.replace("${", "$${")
        plain = isinstance(meaning(escaped), str) and escaped.isprintable()
        return self.represent_scalar("tag:yaml.org,2002:str", escaped, style=None if plain else '"')


_Dumper.add_representer(str, _Dumper.text)
