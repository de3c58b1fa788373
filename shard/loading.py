"""Which file is the configuration, and what are its relative paths relative to?"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hotpath.core.config import NO_FLAGS, Flag, load

from .config import ShardConfig

# What stands for a configuration where none is named.
SHIPPED = Path(__file__).with_name("blog.yaml")


def load_config(path: str | Path | None, flags: Mapping[str, Flag] = NO_FLAGS) -> ShardConfig:
    """The configuration at `path`, its paths absolute; None: the example that comes with us. Raises ConfigError.

    A relative path in it starts at the file's folder; in the example, whose folder is ours, at the working directory.
    """
    config = load(SHIPPED if path is None else path, ShardConfig, flags)
    return based(config, Path.cwd() if path is None else Path(path).absolute().parent)


def based(config: ShardConfig, folder: Path) -> ShardConfig:
    """The configuration with its relative paths taken to start at `folder`."""
    token_file = None if config.token_file is None else str(folder / config.token_file)
    return msgspec.structs.replace(config, data=str(folder / config.data), token_file=token_file)
