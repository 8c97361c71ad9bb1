"""The command inside the test, and the pack that scripts answer it."""

from __future__ import annotations

from typing import Any

from featurepack.cli.main import main
from tests.talking import Script

PACK: dict[str, Any] = {
    "object": "pack",
    "pack_id": "r-d",
    "network": "vgg16",
    "dataset": "birds",
    "recipe_id": "r",
    "dataset_id": "d",
    "imported": False,
    "recipe": {},
    "dataset_info": {},
    "classes": ["owl"],
    "splits": {"train": [0, 8]},
    "rows": 8,
    "row_shape": [4],
    "dtype": "float32",
    "bytes": 2048,
    "etag": "e",
    "invalid_rows": [],
    "provenance": {},
    "created": "2026-01-02T03:04:05Z",
    "last_used": None,
    "hits": 2,
    "pinned": False,
    "problem": None,
}


def run(script: Script, *arguments: str) -> int:
    return main(arguments, connect=lambda _, submitter: script.client())
