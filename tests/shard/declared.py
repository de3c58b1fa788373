"""Tables as a configuration's text declares them."""
from __future__ import annotations

import yaml

from hotpath.core.config import loads
from hotpath.shard.config import ShardConfig
from hotpath.shard.schema import Table


def config_of(tables: str | dict[str, object], **changes: object) -> ShardConfig:
    """A configuration of these tables."""
    text = yaml.safe_load(tables) if isinstance(tables, str) else tables
    return loads(yaml.safe_dump({"tables": text, **changes}, sort_keys=False), ShardConfig)


def declared(name: str, text: str) -> Table:
    """The table `name` that this declares."""
    return config_of({name: yaml.safe_load(text)}).schema[name]
