"""The files that deploy, read for tests: docker-compose.yml, .env.example and the Dockerfile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def variables() -> set[str]:
    """Names that docker-compose.yml takes from the environment."""
    return {name for name, _ in _VARIABLE.findall((ROOT / "docker-compose.yml").read_text())}


def example() -> dict[str, str]:
    """The settings of .env.example."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def composed(**settings: str) -> dict[str, Any]:
    """docker-compose.yml with the settings put in; others have their defaults."""

    def value(found: re.Match[str]) -> str:
        return settings.get(found[1]) or found[2] or ""

    text = _VARIABLE.sub(value, (ROOT / "docker-compose.yml").read_text())
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of each logical line of the Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines]
