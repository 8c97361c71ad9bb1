"""The service against its own OpenAPI: what it documents is what it answers, whatever is sent.

Half a minute of schemathesis; ten minutes with FEATUREPACK_SCHEMATHESIS=600.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cache.store import Store
from tests.live import live
from tests.pictures import write_image_folder
from tests.serving import PAIR, serving, wait, worker_running

SECONDS = int(os.environ.get("FEATUREPACK_SCHEMATHESIS", "30"))

CONFIG = """
[[operations]]
include-path-regex = "pack_id"
exclude-method = "DELETE"
parameters = {{ "path.pack_id" = "{pack_id}" }}

[[operations]]
include-path-regex = "head_id"
parameters = {{ "path.head_id" = "{head_id}" }}
"""
"""Calls that look at a pack or a head get one that is there, so that they come further than 404."""

OPTIONS = (
    "--checks=all",
    # Rules that JSON Schema cannot tell: a crop no larger than the image, a cursor that was given.
    "--exclude-checks=positive_data_acceptance",
    "--exclude-path=/v1/events",  # a stream without an end
    "--max-response-time=70",  # calls wait for jobs up to 60 s
    "--request-timeout=80",
    "--continue-on-failure",
    "--seed=1",
    "--generation-database=none",
    "--warnings=off",
)


@pytest.mark.parametrize("known", [False, True], ids=["made-up-ids", "real-ids"])
def test_answers_are_as_documented(store: Store, tmp_path: Path, known: bool) -> None:
    assert store.data_root is not None
    write_image_folder(store.data_root / "set", {"train": {"a": 6, "b": 6}, "validation": {"a": 3}})
    with serving(store) as service, worker_running(store):
        source = {"kind": "folder", "path": "set"}
        service.post("/v1/datasets", {"name": "set", "source": source}, 201)
        pack_id = wait(service, PAIR)["pack_id"]
        head = {"pack_id": pack_id, "method": "ridge"}
        head_id = service.post("/v1/heads", head, headers={"Prefer": "wait=60"})["head_id"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.format(pack_id=pack_id, head_id=head_id) if known else "")
        with live(store) as line:
            command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
            command += ["run", f"{line.url}/openapi.json", f"--max-time={max(10, SECONDS // 2)}"]
            found = subprocess.run([*command, *OPTIONS], capture_output=True, cwd=tmp_path)
    said = found.stdout.decode("utf-8", "replace")
    assert found.returncode == 0, said[-8000:] + found.stderr.decode("utf-8", "replace")[-2000:]
    assert "Tested:" in said
