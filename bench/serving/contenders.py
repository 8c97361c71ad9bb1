"""What each server is asked for the same rows, and how its answer becomes an array."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.serving.material import PACK, SCATTERED, SLICE, Material
from bench.serving.servers import FILE_RESPONSE, H5GROVE, NGINX, OURS, TILED

Decode = Callable[[bytes | memoryview], npt.NDArray[Any]]

RAW, NPY, ARROW, JSON = (
    "application/octet-stream",
    "application/x-npy",
    "application/vnd.apache.arrow.stream",
    "application/json",
)


@dataclass(frozen=True)
class Ask:
    """One request to the server of this name; ``decode`` makes [rows, D] of the whole answer."""

    server: str
    path: str
    decode: Decode
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def sent_headers(self) -> dict[str, str]:
        """Nobody is to compress."""
        typed = {} if self.body is None else {"Content-Type": "application/json"}
        return {"Accept-Encoding": "identity", **typed, **self.headers}


Asks = dict[str, Ask]
Works = dict[str, Asks]

CANNOT = {
    TILED: "tiled takes slices, no lists of rows",
    H5GROVE: "h5grove takes slices, no lists of rows",
}
"""Why some take no part in what asks for scattered rows."""


def whole(material: Material) -> Asks:
    """The whole pack: its file where files are served, all its features elsewhere."""
    everything = (0, material.layout.rows)
    in_file = _part_of_file(material)
    return {
        "ours_file": Ask(OURS, f"{_pack(material)}/file", in_file),
        "ours_features": _ours_slice(material, everything),
        NGINX: Ask(NGINX, f"/{PACK}", in_file),
        FILE_RESPONSE: Ask(FILE_RESPONSE, f"/{PACK}", in_file),
        H5GROVE: _h5grove_slice(material, everything),
        TILED: _tiled_slice(material, everything),
    }


def sliced(material: Material) -> Asks:
    """The slice: of ours in each format, of files one that holds exactly these rows."""
    span = material.span
    formats = {"npy": (NPY, _npy), "arrow": (ARROW, _arrow), "json": (JSON, _json)}
    return {
        "ours_raw": _ours_slice(material, span),
        **{
            f"ours_{name}": _ours_slice(material, span, accept, decode)
            for name, (accept, decode) in formats.items()
        },
        NGINX: Ask(NGINX, f"/{SLICE}", _raw(material)),
        FILE_RESPONSE: Ask(FILE_RESPONSE, f"/{SLICE}", _raw(material)),
        H5GROVE: _h5grove_slice(material, span),
        TILED: _tiled_slice(material, span),
    }


def scattered(material: Material) -> Asks:
    """The scattered rows; others are given a file that holds exactly these."""
    return {
        "ours": _ours_rows(material, material.scattered_R),
        NGINX: Ask(NGINX, f"/{SCATTERED}", _raw(material)),
        FILE_RESPONSE: Ask(FILE_RESPONSE, f"/{SCATTERED}", _raw(material)),
    }


def small(material: Material) -> Ask:
    """A few rows by number, as a training loop asks for them."""
    return _ours_rows(material, material.small_R)


def expected(material: Material) -> dict[str, npt.NDArray[Any]]:
    """What the rows are, by work."""
    features_ND = material.features_ND
    return {
        "slice": np.array(features_ND[slice(*material.span)]),
        "scattered": features_ND[material.scattered_R],
    }


def lacking(asks: Asks) -> dict[str, str]:
    """Those of ours that cannot be checked here, and why."""
    if "ours_arrow" in asks and importlib.util.find_spec("pyarrow") is None:
        return {"ours_arrow": "pyarrow is not installed here, so its rows cannot be compared"}
    return {}


def _pack(material: Material) -> str:
    return f"/v1/packs/{material.pack_id}"


def _ours_slice(
    material: Material, span: tuple[int, int], accept: str = RAW, decode: Decode | None = None
) -> Ask:
    path = f"{_pack(material)}/features?start={span[0]}&stop={span[1]}"
    return Ask(OURS, path, decode or _raw(material), headers={"Accept": accept})


def _ours_rows(material: Material, rows: list[int]) -> Ask:
    body = json.dumps({"rows": rows}).encode()
    path = f"{_pack(material)}/rows"
    return Ask(OURS, path, _raw(material), "POST", {"Accept": RAW}, body)


def _h5grove_slice(material: Material, span: tuple[int, int]) -> Ask:
    file = f"file={material.pack.name}&path=/features"
    path = f"/data?{file}&selection={span[0]}:{span[1]},:&format=bin"
    return Ask(H5GROVE, path, _raw(material))


def _tiled_slice(material: Material, span: tuple[int, int]) -> Ask:
    path = f"/api/v1/array/full/features?slice={span[0]}:{span[1]}"
    return Ask(TILED, path, _raw(material), headers={"Accept": RAW})


def _raw(material: Material) -> Decode:
    shape = (-1, *material.layout.row_shape)
    return lambda data: np.frombuffer(data, material.layout.dtype).reshape(shape)


def _part_of_file(material: Material) -> Decode:
    """The features in the bytes of the pack's file."""
    start = material.layout.features_offset
    raw, stop = _raw(material), start + material.features_bytes
    return lambda data: raw(memoryview(data)[start:stop])


def _npy(data: bytes | memoryview) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.load(io.BytesIO(data))
    return found


def _json(data: bytes | memoryview) -> npt.NDArray[Any]:
    return np.array(json.loads(bytes(data))["features"], np.float32)


def _arrow(data: bytes | memoryview) -> npt.NDArray[Any]:
    import pyarrow as pa

    column = pa.ipc.open_stream(data).read_all()["features"]
    found: npt.NDArray[Any] = column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)
    return found
