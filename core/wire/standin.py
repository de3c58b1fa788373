"""Ours under the names of h11 and wsproto: which module stands for which?"""
from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

# Of the real module, and ours that has its names. Servers import from some of h11's private ones.
H11 = {
    "_connection": "hotpath.core.wire.h11.connection",
    "_events": "hotpath.core.wire.h11.events",
    "_headers": "hotpath.core.wire.h11.headers",
    "_state": "hotpath.core.wire.h11.state",
    "_util": "hotpath.core.wire.h11.common",
}
WSPROTO = {name: f"hotpath.core.wire.ws.{name}" for name in (
    "connection", "events", "extensions", "frame_protocol", "handshake", "typing", "utilities")}
# What User-Agent and Server fields and version checks read.
H11_VERSION = "0.16.0"
WSPROTO_VERSION = "1.3.2"


def the_real_ones(*, h11: bool, wsproto: bool) -> list[str]:
    """Which of the asked for are loaded, and not ours."""
    return [name for name, asked in (("h11", h11), ("wsproto", wsproto))
            if asked and name in sys.modules and not hasattr(sys.modules[name], "stands_in")]


def stand_in_for_h11() -> None:
    """Register `h11` and its private modules."""
    package = register("h11", "hotpath.core.wire.http1", H11)
    package.__dict__.update(__version__=H11_VERSION, PRODUCT_ID=f"python-h11/{H11_VERSION}")


def stand_in_for_wsproto() -> None:
    """Register `wsproto` and its modules."""
    package = register("wsproto", "hotpath.core.wire.ws", WSPROTO)
    package.__dict__.update(__version__=WSPROTO_VERSION)


def register(name: str, ours: str, parts: dict[str, str]) -> ModuleType:
    """A module `name` with the public names of `ours`; its parts are ours themselves."""
    whole = import_module(ours)
    package = ModuleType(name, whole.__doc__)
    public: list[str] = whole.__all__
    package.__dict__.update({public_name: getattr(whole, public_name) for public_name in public})
    package.__dict__.update(__all__=tuple(public), stands_in=True)
    for part, module in parts.items():
        sys.modules[f"{name}.{part}"] = package.__dict__[part] = import_module(module)
    sys.modules[name] = package
    return package
