"""What names a head, and a job that trains one.

A head's ``spec`` is what it is asked for by: pack_id, method, params, train, validation, and
``subset`` where it learns from a part of train.
"""

from __future__ import annotations

from typing import Any

from cache.identity import blake2b_hex, canonical_json

ASKED = ("pack_id", "method", "params", "train", "validation", "subset")


def head_job_key(spec: dict[str, Any]) -> str:
    """The key of the job, which can be queued before there is a file to name the head by."""
    return f"head:{_hash(_asked(spec))}"


def head_id_of(spec: dict[str, Any], etag: str) -> str:
    """``etag`` is the pack file's: a pack that is built anew gets new heads."""
    return _hash(_asked(spec) | {"etag": etag})


def kept_params(spec: dict[str, Any]) -> dict[str, Any]:
    """The ``params`` of a head's row: all that was asked for but the pack and the method."""
    beside = {name: spec[name] for name in ("train", "validation", "subset") if name in spec}
    return {**spec["params"], **beside}


def _asked(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: spec[name] for name in ASKED if name in spec}


def _hash(value: dict[str, Any]) -> str:
    return blake2b_hex(canonical_json(value))[:24]
