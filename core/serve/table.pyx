"""Routes, compiled: which one does a request take?

A path without parameters is one look into a dict of bytes. The others are walked segment by segment; a fixed segment goes
before {name:int}, that before {name}, that before {name:path}, and the first whose route has the method wins. {name:raw}
takes whatever follows its fixed beginning, as sent: to its handler `a/b` and `a%2Fb` are two things, and so are `.` and `..`.
"""
import re
from urllib.parse import unquote_to_bytes

from hotpath.core.wire.http1 cimport METHOD_OTHER

PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::(int|path|raw))?\}")
SEGMENT = re.compile(r"[^{}?#%]*")
cdef list METHODS = ["", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"]     # as wire's Method
cdef enum:
    MAX_DIGITS = 18             # of an int: it fits 64 bits


cdef class Route:
    """One route as it was added."""

    def __init__(self, str method, str pattern, object handler, *, int64_t max_body=-2, object gate=None, int index=0):
        self.method, self.pattern, self.handler = method, pattern, handler
        self.max_body, self.gate, self.index = max_body, gate, index
        self.names = tuple(match[1] for match in PARAMETER.finditer(pattern))


def segments_of(str pattern) -> list:
    """(kind, text) of each segment; kind is "", "int", "str", "path" or "raw". Raises ValueError: what is wrong."""
    if not pattern.startswith("/"):
        raise ValueError(f"route {pattern!r}: a path begins with a slash")
    made = []
    names = set()
    for part in pattern[1:].split("/"):
        match = PARAMETER.fullmatch(part)
        if match is None:
            if SEGMENT.fullmatch(part) is None or part in (".", ".."):
                raise ValueError(f"route {pattern!r}: {part!r} is neither text nor a parameter as {{name:int}}")
            made.append(("", part))
            continue
        if match[1] in names:
            raise ValueError(f"route {pattern!r}: {match[1]} twice")
        names.add(match[1])
        made.append((match[2] or "str", match[1]))
    if any(kind == "path" for kind, _ in made[:-1]):
        raise ValueError(f"route {pattern!r}: a {{name:path}} is the last segment")
    if any(kind == "raw" for kind, _ in made[:-1]) or (made[-1][0] == "raw" and any(kind for kind, _ in made[:-1])):
        raise ValueError(f"route {pattern!r}: a {{name:raw}} is the last segment, and the only parameter")
    return made


cdef class Endpoint:
    """The routes of one path, by method."""

    def __cinit__(self):
        self.by_method = {}
        self.by_id = [None] * len(METHODS)

    def add(self, Route route) -> None:
        if route.gate is not None:
            if self.socket is not None:
                raise ValueError(f"route {route.pattern} has a websocket already")
            self.socket = route
            return
        if route.method in self.by_method:
            raise ValueError(f"route {route.method} {route.pattern} is there already")
        self.by_method[route.method] = route
        if route.method in METHODS:
            self.by_id[METHODS.index(route.method)] = route
        if route.method == "GET" and "HEAD" not in self.by_method:
            self.by_id[2] = route

    cdef Route pick(self, int method_id, str method, bint socket):
        if socket and self.socket is not None:
            return self.socket
        return self.by_id[method_id] if method_id != METHOD_OTHER else self.by_method.get(method)

    cdef int note(self, set allowed) except -1:
        allowed.update(self.by_method)
        if "GET" in self.by_method:
            allowed.add("HEAD")
        if self.socket is not None:
            allowed.add("")
        return 0


cdef class Node:
    """Where the walk stands after some segments."""

    def __cinit__(self):
        self.statics = {}

    cdef Route walk(self, list segments, Py_ssize_t i, int method_id, str method, bint socket, list values, set allowed):
        cdef Route found = None
        cdef Node child
        if i == len(segments):
            if self.here is not None:
                found = self.here.pick(method_id, method, socket)
                if found is None:
                    self.here.note(allowed)
            return found
        segment = segments[i]
        child = self.statics.get(segment)
        if child is not None:
            found = child.walk(segments, i + 1, method_id, method, socket, values, allowed)
        if found is None and self.number is not None and is_number(segment):
            values.append(int(segment))
            found = self.number.walk(segments, i + 1, method_id, method, socket, values, allowed)
            if found is None:
                values.pop()
        if found is None and self.word is not None and segment:
            values.append(segment)
            found = self.word.walk(segments, i + 1, method_id, method, socket, values, allowed)
            if found is None:
                values.pop()
        if found is None and self.rest is not None and not any(["/" in each for each in segments[i:]]):
            found = self.rest.pick(method_id, method, socket)
            if found is None:
                self.rest.note(allowed)
            else:
                values.append("/".join(segments[i:]))
        return found


cdef bint is_number(str segment) except -1:
    return 0 < len(segment) <= MAX_DIGITS and segment.isascii() and segment.isdigit()


cdef list decoded(bytes path, bint is_plain):
    """The segments, percent-decoded; None for what no route may mean: dot segments, NUL, what is no UTF-8."""
    cdef list segments
    try:
        if is_plain:
            return path[1:].decode("utf-8").split("/")
        segments = [unquote_to_bytes(segment).decode("utf-8") for segment in path[1:].split(b"/")]
    except UnicodeDecodeError:
        return None
    for segment in segments:
        if segment == "." or segment == ".." or "\0" in segment:
            return None
    return segments


cdef class Table:
    """All routes of an application, fixed."""

    def __init__(self, object routes):
        cdef Route route
        cdef Node node
        self.routes = list(routes)
        self.plain = {}
        self.raws = {}
        self.root = Node()
        for route in self.routes:
            node = self.root
            rest = False
            segments = segments_of(route.pattern)
            if segments[-1][0] == "raw":
                beginning = "/".join(["", *[text for _, text in segments[:-1]], ""])
                (<Endpoint>self.raws.setdefault(beginning.encode(), Endpoint())).add(route)
                continue
            for kind, text in segments:
                if kind == "":
                    node = node.statics.setdefault(text, Node())
                elif kind == "int":
                    node.number = node.number or Node()
                    node = node.number
                elif kind == "str":
                    node.word = node.word or Node()
                    node = node.word
                else:
                    rest = True
            if rest:
                node.rest = node.rest or Endpoint()
                node.rest.add(route)
            else:
                node.here = node.here or Endpoint()
                node.here.add(route)
                if not route.names:
                    self.plain[route.pattern.encode()] = node.here

    cdef Route find(self, int method_id, str method, bytes path, bint is_plain, bint socket, list values, set allowed):
        cdef Endpoint endpoint
        cdef Route found = None
        cdef list segments
        if is_plain:
            endpoint = self.plain.get(path)
            if endpoint is not None:
                found = endpoint.pick(method_id, method, socket)
                if found is not None:
                    return found
        for beginning, raw in self.raws.items():
            if path.startswith(<bytes>beginning):
                found = (<Endpoint>raw).pick(method_id, method, socket)
                if found is None:
                    (<Endpoint>raw).note(allowed)
                else:
                    values.append(path[len(<bytes>beginning):].decode("latin-1"))
                return found
        segments = decoded(path, is_plain)
        if segments is None or path[:1] != b"/":
            return None
        return self.root.walk(segments, 0, method_id, method, socket, values, allowed)

    def match(self, str method, bytes path, *, bint is_plain=False, bint socket=False) -> tuple:
        """(route, parameters by name, methods the path has); route is None where there is none. For tests and tools."""
        cdef list values = []
        cdef set allowed = set()
        cdef int method_id = METHODS.index(method) if method in METHODS else METHOD_OTHER
        found = self.find(method_id, method, path, is_plain, socket, values, allowed)
        return found, dict(zip(found.names, values)) if found is not None else {}, allowed
