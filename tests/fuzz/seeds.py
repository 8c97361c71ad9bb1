"""Whole files of each format, small, and how to put one together again after a change.

Most formats guard their bytes by checksums or compression, so a changed file is refused at the
door. A seed is therefore what lies behind the door, and ``whole`` makes a file of it.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 16, 3), np.uint8)
IMAGES = RANDOM.integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 1])


@dataclass(frozen=True)
class Seed:
    """``data`` is changed; ``whole`` makes a file of it."""

    data: bytes
    whole: Callable[[bytes], bytes] = bytes


def image(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(np.roll(PIXELS, shift, 0)) for shift in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def grey_16() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(buffer, "PNG")
    return buffer.getvalue()


def images() -> list[Seed]:
    plain = [
        image("JPEG"),
        image("JPEG", "L", progressive=True),
        image("JPEG", "CMYK", exif=Image.Exif().tobytes() + b"\x00" * 8),
        image("GIF"),
        animation("GIF"),
        image("WEBP"),
        image("WEBP", lossless=True),
        animation("WEBP"),
        image("BMP"),
        image("BMP", "P"),
        image("PPM"),
        image("PPM", "1"),
        image("TIFF"),
        image("TIFF", compression="tiff_lzw"),
    ]
    pngs = [image("PNG"), image("PNG", "P"), grey_16(), animation("PNG")]
    return [*map(Seed, plain), *map(Seed, pngs), *(Seed(png, with_png_sums) for png in pngs)]


def with_png_sums(data: bytes) -> bytes:
    """With each chunk's CRC as it should be (PNG 3rd edition, 5.3)."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, at)
        end = at + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def tarred(kind: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name in (
            "set/train/ä/a.png",
            "set/train/" + "b" * 60 + "/" + "long" * 24 + ".png",
            "set/x.txt",
        ):
            member = tarfile.TarInfo(name)
            member.size = len(SMALL)
            archive.addfile(member, io.BytesIO(SMALL))
    return buffer.getvalue()


SMALL = image("PNG", "L")


def with_tar_sums(data: bytes) -> bytes:
    """With the checksum of each block that looks like a header as it should be."""
    fixed = bytearray(data)
    for at in range(0, len(fixed) - 511, 512):
        if fixed[at + 257 : at + 262] == b"ustar":
            fixed[at + 148 : at + 156] = b" " * 8
            fixed[at + 148 : at + 156] = b"%06o\0 " % sum(fixed[at : at + 512])
    return bytes(fixed)


def zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def archives() -> list[Seed]:
    files = {"set/train/a/a.png": SMALL, "set/train/b/b.png": SMALL, "set/notes.txt": b"x" * 99}
    zips = [zipped(**files), zipped(zipfile.ZIP_DEFLATED, **files)]
    tars = [tarred(kind) for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    return [
        *map(Seed, zips),
        *(Seed(tar, with_tar_sums) for tar in tars),
        *(Seed(tar, lambda data: gzip.compress(with_tar_sums(data), 1)) for tar in tars),
        *(Seed(gzip.compress(tar)) for tar in tars),
    ]


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npzs() -> list[Seed]:
    good = {"images.npy": npy(IMAGES), "labels.npy": npy(LABELS)}
    texts = npy(np.array(["ä", "b", "c"])[LABELS])
    return [
        Seed(zipped(**good)),
        Seed(zipped(zipfile.ZIP_DEFLATED, **good)),
        Seed(npy(IMAGES), lambda data: zipped(**good | {"images.npy": data})),
        Seed(npy(np.asfortranarray(IMAGES / 255)), lambda data: zipped(**good, **{"x.npy": data})),
        Seed(npy(LABELS), lambda data: zipped(**good | {"labels.npy": data})),
        Seed(texts, lambda data: zipped(**good | {"labels.npy": data})),
    ]


def hdf5(libver: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=libver) as file:
        group = file.create_group("train")
        group.create_dataset("images", data=IMAGES, **options)
        group.create_dataset("labels", data=LABELS)
        file.create_dataset("classes", data=["a", "b", "ccc"])
        file.attrs["note"] = "x" * 50
    return buffer.getvalue()


def hdf5s() -> list[Seed]:
    packed = {"chunks": (2, 5, 4, 3), "compression": "gzip", "shuffle": True, "fletcher32": True}
    return [
        Seed(hdf5(libver, **options))
        for libver in ("earliest", "latest")
        for options in ({}, packed, {"chunks": (1, 5, 4, 3), "maxshape": (None, 5, 4, 3)})
    ]


def pickles() -> list[Seed]:
    arrays = {"features": IMAGES, "labels": LABELS, "classes": ["a", "b", "c"]}
    hostile = [
        b"\x80\x02cos\nsystem\n(S'touch OWNED'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x0eopen('OWNED','w')\x85R.",
        b"cposix\nsystem\n(S'touch OWNED'\ntR.}(",
    ]
    return [Seed(pickle.dumps(arrays, protocol)) for protocol in range(6)] + [
        Seed(pickle.dumps({"data": IMAGES / 255, "label": [1, 2, 0, 1, 2, 0], "n": 1}, 2)),
        *map(Seed, hostile),
    ]


def checkpoints() -> list[Seed]:
    import torch
    from safetensors.torch import save

    state = {"features.0.weight": torch.arange(24.0).reshape(4, 6), "n": torch.tensor(3)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, new)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(new) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in members if name.endswith("data.pkl"))
    return [
        Seed(new.getvalue()),
        Seed(members[program], lambda data: zipped(**members | {program: data})),
        Seed(old.getvalue()),
        Seed(save(state)),
        Seed(b"\x80\x02cos\nsystem\n(S'touch OWNED'\ntR."),
    ]


SEEDS: dict[str, Callable[[], list[Seed]]] = {
    "image": images,
    "archive": archives,
    "npz": npzs,
    "hdf5": hdf5s,
    "pickle": pickles,
    "checkpoint": checkpoints,
}
