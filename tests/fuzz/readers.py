"""What is done with a file of each format, as the worker or the service does it.

Every reader gives what came of it in a word. A refusal is an error of ours with a remedy; any
other exception is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cache.errors import FeaturepackError
from cache.store import Store
from service.thumbnails import thumbnail
from worker.ingest import IngestLimits, ingest
from worker.pixels.images import decode

MAX_BYTES = 1 << 28

Reader = Callable[[bytes, Store], None]


def read_image(data: bytes, store: Store) -> None:
    """Decode it for a network, and make a thumbnail of it."""
    refused = None
    try:
        assert decode(data).size
    except FeaturepackError as error:
        refused = error
    assert thumbnail(data, 64)
    if refused is not None:
        raise refused


def read_upload(data: bytes, store: Store) -> None:
    """Take it in as a dataset."""
    path = store.new_incoming()
    path.write_bytes(data)
    try:
        spec = {"kind": "upload", "files": [{"path": str(path), "name": "upload"}]}
        assert len(ingest(spec, store, IngestLimits(MAX_BYTES)))
    finally:
        path.unlink()


def read_checkpoint(data: bytes, store: Store) -> None:
    """Load it, and hold it against a network of one layer."""
    import torch

    from worker.checkpoints import check_parameters, fault, load_state_dict

    expected = {"features.0.weight": torch.zeros(4, 6), "n": torch.tensor(0)}
    is_safe = data[8:9] == b"{"
    path = store.root / "weights" / f"checkpoint{'.safetensors' if is_safe else '.pth'}"
    path.write_bytes(data)
    try:
        state = load_state_dict(path)
        check_parameters("network", expected, state, head="classifier.")
        for name, wanted in expected.items():
            fault(name, wanted, state)
    finally:
        path.unlink()


READERS: dict[str, Reader] = {
    "image": read_image,
    "archive": read_upload,
    "npz": read_upload,
    "hdf5": read_upload,
    "pickle": read_upload,
    "checkpoint": read_checkpoint,
}


def outcome(read: Reader, data: bytes, store: Store) -> str:
    """``taken``, or the kind of the refusal. Raises what is a finding."""
    try:
        read(data, store)
    except FeaturepackError as error:
        if not error.remedy or not error.message or len(error.message) > 20_000:
            raise AssertionError(f"a poor refusal: {error.message[:200]!r}") from error
        error.message.encode("utf-8")
        return error.kind
    return "taken"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and what it holds; folders and links, too."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
