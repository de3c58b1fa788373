"""Who may import whom? `errors` < {data, wire, net} < the rest of core < each service."""
import ast
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("chat", "crdt", "ide", "locking", "proxy", "shard")
PACKAGES = ("core", *SERVICES)
# Parts that know errors and themselves, and nothing else of ours.
ISLANDS = ("core.data", "core.wire", "core.net")
MAX_LINES = 700

# `from a.b cimport c, d`, `cimport a.b`, and the same with `import`; a bracketed list goes on to its bracket.
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<origin>\.*[\w.]*)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|c?import[ \t]+(?P<modules>[^\n#]*))", re.MULTILINE)
PROSE = re.compile(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|#[^\n]*')


def sources(*suffixes: str) -> list[Path]:
    """Every file of ours in the packages, `hotpath/` itself, bench and tests."""
    folders = [ROOT / name for name in (*PACKAGES, "hotpath", "bench", "tests")]
    return sorted(path for folder in folders for path in folder.rglob("*")
                  if path.suffix in suffixes and "vendor" not in path.parts and "node_modules" not in path.parts)


def module_name(path: Path) -> str:
    """`core/data/ring.pyx` is `hotpath.core.data.ring`; `tests/waiting.py` is `tests.waiting`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] in PACKAGES:
        parts.insert(0, "hotpath")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


@cache
def all_modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in sources(".py", ".pyx", ".pxd"))


def statements(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(origin, names) of each import; a plain `import x.y` is ("", ["x.y"]); leading dots stay."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                yield "", [alias.name for alias in node.names]
        return
    for match in IMPORT.finditer(PROSE.sub("", text)):
        names = match["names"] or match["modules"]
        yield match["origin"] or "", [name.split()[0] for name in names.strip("() \n").split(",") if name.strip()]


def absolute(origin: str, path: Path) -> str:
    if not origin.startswith("."):
        return origin
    module = module_name(path)
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return f"{package}.{origin[1:]}" if origin[1:] else package


def imports(path: Path) -> Iterator[str]:
    """The modules `path` imports; a name taken out of a module of ours counts as that module."""
    for origin, names in statements(path):
        base = absolute(origin, path)
        for name in names:
            whole = f"{base}.{name}" if base else name
            yield whole if not base or whole in all_modules() else base


def part(module: str) -> str:
    """`hotpath.core.data.ring` belongs to `core.data`, `hotpath.core.tasks` to `core`."""
    inside = module.removeprefix("hotpath.")
    if inside == "core.errors" or inside.startswith(("core.data", "core.wire", "core.net")):
        return ".".join(inside.split(".")[:2])
    return inside.split(".")[0]


def is_allowed(importer: str, imported: str) -> bool:
    """Whether a module of part `importer` may import one of part `imported`."""
    if importer == imported:
        return True
    if importer == "core.errors":
        return False
    if importer in ISLANDS:
        return imported == "core.errors"
    if importer == "core":
        return imported in ISLANDS or imported == "core.errors"
    return importer not in SERVICES or imported not in SERVICES


def ours(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        for imported in imports(path):
            if imported.startswith("hotpath."):
                yield path, imported


PACKAGE_SOURCES = [path for path in sources(".py", ".pyx", ".pxd") if path.relative_to(ROOT).parts[0] in PACKAGES]


def test_every_import_goes_down_a_layer():
    wrong = [f"{path.relative_to(ROOT)} imports {imported}" for path, imported in ours(PACKAGE_SOURCES)
             if not is_allowed(part(module_name(path)), part(imported))]
    assert not wrong


def test_the_installed_package_imports_neither_its_tests_nor_its_benchmarks():
    files = [*PACKAGE_SOURCES, *(ROOT / "hotpath").glob("*.py")]
    wrong = [f"{path.relative_to(ROOT)} imports {imported}" for path in files for imported in imports(path)
             if imported.split(".")[0] in ("bench", "tests")]
    assert not wrong


def test_a_package_is_never_imported_under_its_bare_name():
    wrong = [f"{path.relative_to(ROOT)}: {origin or names}" for path in sources(".py", ".pyx", ".pxd", ".pyi")
             for origin, names in statements(path)
             if any(name.split(".")[0] in PACKAGES for name in ([origin] if origin else names))]
    assert not wrong


def test_a_relative_import_has_one_dot():
    wrong = [f"{path.relative_to(ROOT)}: {origin}" for path in sources(".py", ".pyx", ".pxd", ".pyi")
             for origin, _ in statements(path) if origin.startswith("..")]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_the_root_is_not_importable(package):
    assert importlib.util.find_spec(package) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_has_its_relative_link(package):
    link = ROOT / "hotpath" / package
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{package}"


def test_no_file_is_longer_than_anyone_reads():
    long = {str(path.relative_to(ROOT)): lines
            for path in sources(".py", ".pyx", ".pxd", ".pyi", ".h", ".js", ".css")
            if (lines := path.read_text().count("\n")) > MAX_LINES}
    assert not long


def test_a_pyx_with_a_python_face_has_its_stub():
    face = re.compile(r"^def |^(cdef )?class (?!_)", re.MULTILINE)
    wrong = [str(path.relative_to(ROOT)) for path in sources(".pyx")
             if face.search(path.read_text()) and not path.with_suffix(".pyi").exists()]
    assert not wrong


def test_nothing_built_is_tracked():
    names = subprocess.run(["git", "ls-files", "*.c", "*.so", "*.pyc", "build.log"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    assert not names


@pytest.mark.parametrize(("line", "found"), [
    ("from hotpath.core.net.loop cimport Source, loop_t  # why", [("hotpath.core.net.loop", ["Source", "loop_t"])]),
    ("from .net.loop cimport (\n    Source,\n    loop_t,\n)", [(".net.loop", ["Source", "loop_t"])]),
    ("    from .ring cimport Ring as R", [(".ring", ["Ring"])]),
    ("cimport cython", [("", ["cython"])]),
    ("import os, sys", [("", ["os", "sys"])]),
    ('"""\nfrom the wire import nothing\n"""', []),
])
def test_imports_are_read_out_of_cython(line, found, tmp_path):
    path = tmp_path / "it.pyx"
    path.write_text(line)
    assert list(statements(path)) == found


@pytest.mark.parametrize(("importer", "imported", "allowed"), [
    ("core.errors", "core", False),
    ("core.data", "core.errors", True),
    ("core.data", "core.net", False),
    ("core.net", "core", False),
    ("core", "core.wire", True),
    ("core", "proxy", False),
    ("proxy", "core", True),
    ("proxy", "shard", False),
])
def test_the_rule_itself(importer, imported, allowed):
    assert is_allowed(importer, imported) is allowed
