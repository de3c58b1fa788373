from typing_extensions import disjoint_base

from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.state import State

BALANCES: dict[str, int]
ENCODED_OTHERWISE: tuple[str, ...]
FORWARDED: dict[str, int]
HEADERS: dict[str, int]
FILE_METHODS: tuple[str, ...]
KEYS: dict[str, int]
METHODS: dict[str, int]

@disjoint_base
class Plan:
    @property
    def config(self) -> ProxyConfig: ...
    def __init__(self, config: ProxyConfig, state: State, worker: int) -> None: ...
