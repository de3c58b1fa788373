"""The compose file as docker-compose reads it: its services, with variables put in."""
from __future__ import annotations

import re
from typing import Any

import yaml

from tests.deploy.shipped import COMPOSE

FILE = COMPOSE / "compose.yaml"
# What a person writes into .env.
ANSWERS = {"MYSQL_ROOT_PASSWORD": "root0", "MYSQL_PASSWORD": "ours0", "CRDT_TOKEN": "token0", "DOCKER_GID": "0"}
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?(?P<must>[^}]*))\})")


def filled(value: Any, answers: dict[str, str]) -> Any:
    """With every `${NAME:-default}` and `${NAME:?message}` put in. KeyError for one that must be there."""
    if isinstance(value, dict):
        return {key: filled(one, answers) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, answers) for one in value]
    if not isinstance(value, str):
        return value

    def word(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if match["must"] is not None:
            return answers[match["name"]]
        return answers.get(match["name"]) or match["default"]

    return VARIABLE.sub(word, value)


def services(answers: dict[str, str]) -> dict[str, dict[str, Any]]:
    """By name."""
    found: dict[str, dict[str, Any]] = filled(yaml.safe_load(FILE.read_text()), answers)["services"]
    return found


OURS = tuple(name for name, one in services(ANSWERS).items() if one["image"].startswith("hotpath:"))
