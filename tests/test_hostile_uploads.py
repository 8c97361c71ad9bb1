"""Uploads made to do harm: each is refused by name, and leaves nothing in the store."""

from __future__ import annotations

import gc
import gzip
import io
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.errors import CorruptData, FeaturepackError, InvalidRequest, TooLarge
from cache.store import Store
from tests.test_sources import FILES, IMAGES, LABELS, PNG, hdf5, npz, tarred, upload, zipped
from worker.ingest import IngestLimits, ingest
from worker.sources.pickles import load_arrays
from worker.sources.registry import open_source

Build = Callable[[], bytes]
Case = tuple[Build, type[FeaturepackError], str]


def contents(store: Store) -> dict[str, bytes]:
    """Every file of the store, and what it holds."""
    files = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in files}


def refused(store: Store, data: bytes, **limits: int) -> FeaturepackError:
    """Ingest ``data``, which must fail and leave the store as it was."""
    spec = upload(store, ("upload", data))
    before = contents(store)
    with pytest.raises(FeaturepackError) as caught:
        ingest(spec, store, IngestLimits(**limits))
    assert contents(store) == before
    assert caught.value.remedy
    return caught.value


# --- zip -----------------------------------------------------------------------------------------


def zip_with(name: str, data: bytes = PNG, **facts: Any) -> bytes:
    member = zipfile.ZipInfo(name)
    for key, value in facts.items():
        setattr(member, key, value)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/a.png", PNG)
        archive.writestr(member, data)
    return buffer.getvalue()


def zip_twice() -> bytes:
    """The directory speaks of one name twice."""
    return zipped({"cat/a.png": PNG, "cat/b.png": PNG}).replace(b"cat/b.png", b"cat/a.png")


def zip_encrypted() -> bytes:
    data = bytearray(zipped({"cat/a.png": PNG}))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    return bytes(data)


def zip_bomb() -> bytes:
    return zipped({"cat/a.bmp": bytes(64 << 20)})


def zip_that_lies_about_a_size() -> bytes:
    """A megabyte that claims to be ten bytes."""
    data = bytearray(zipped({"cat/a.png": bytes(1 << 20)}))
    data[data.index(b"PK\1\2") + 24 :][:4] = struct.pack("<I", 10)
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 10)
    return bytes(data)


def flipped(data: bytes, inside: bytes) -> bytes:
    at = data.index(inside) + len(inside) // 2
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


STORED = zipped({"cat/a.png": PNG}, zipfile.ZIP_STORED)

ZIPS: dict[str, Case] = {
    "parent": (lambda: zip_with("cat/../../x.png"), InvalidRequest, "leads out"),
    "absolute": (lambda: zip_with("/etc/x.png"), InvalidRequest, "'/etc/x.png'"),
    "drive": (lambda: zip_with("C:/x/x.png"), InvalidRequest, "'C:/x/x.png'"),
    "backslash": (lambda: zip_with("cat\\..\\x.png"), InvalidRequest, "leads out"),
    "ignored-parent": (lambda: zip_with("../notes.txt"), InvalidRequest, "leads out"),
    "symlink": (
        lambda: zip_with("cat/l.png", b"/etc/passwd", external_attr=0o120777 << 16),
        InvalidRequest,
        "'cat/l.png' is a link",
    ),
    "device": (
        lambda: zip_with("cat/d.png", b"", external_attr=0o020666 << 16),
        InvalidRequest,
        "special",
    ),
    "encrypted": (zip_encrypted, InvalidRequest, "'cat/a.png' is encrypted"),
    "twice": (zip_twice, InvalidRequest, "'cat/a.png' occurs twice"),
    "twice-dotted": (
        lambda: zipped({"cat/a.png": PNG, "./cat//a.png": PNG}),
        InvalidRequest,
        "occurs twice",
    ),
    "nul": (
        lambda: zipped({"cat/a.png0.txt": PNG}).replace(b"png0", b"png\0"),
        InvalidRequest,
        "NUL",
    ),
    "lzma": (lambda: zipped(FILES, zipfile.ZIP_LZMA), InvalidRequest, "unusual method"),
    "bzip2": (lambda: zipped(FILES, zipfile.ZIP_BZIP2), InvalidRequest, "unusual method"),
    "bomb": (zip_bomb, TooLarge, "200 times its size, at 'cat/a.bmp'"),
    "lying-size": (zip_that_lies_about_a_size, CorruptData, "cat/a.png"),
    "half": (lambda: STORED[: len(STORED) // 2], CorruptData, "cut off"),
    "no-end": (lambda: STORED[:-1], CorruptData, "cut off"),
    "bad-checksum": (lambda: flipped(STORED, PNG), CorruptData, "'cat/a.png'"),
    "bad-offset": (lambda: STORED.replace(b"PK\3\4", b"PK\3\5", 1) and b"PK\3\4" + STORED[4:40]
                   + STORED[60:], CorruptData, "cut off"),
    "no-images": (lambda: zipped({"read.me": b"x"}), InvalidRequest, "no images"),
    "no-members": (lambda: zipped({}), InvalidRequest, "no images"),
    "layout": (lambda: zipped({"a.png": PNG}), InvalidRequest, "'a.png'"),
    "tiff": (lambda: zipped({"cat/a.tif": PNG}), InvalidRequest, "'cat/a.tif'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
def test_hostile_zips_are_refused(store: Store, name: str) -> None:
    build, kind, message = ZIPS[name]
    error = refused(store, build())
    assert type(error) is kind, error
    assert message in error.message


def test_a_small_archive_of_very_regular_images_is_no_bomb(store: Store) -> None:
    files = {f"cat/{i}.bmp": bytes(150_000) for i in range(50)}
    data = zipped(files)
    assert len(data) * 200 < 50 * 150_000
    assert len(ingest(upload(store, ("x", data)), store)) == 50


def test_limits_on_members_and_sizes_hold(store: Store) -> None:
    for data in (zipped(FILES), tarred(FILES), tarred(FILES, "w:gz")):
        assert len(ingest(upload(store, ("x", data)), store, IngestLimits(max_members=4))) == 3
        error = refused(store, data, max_members=3)
        assert isinstance(error, TooLarge)
        assert "more than 3 members" in error.message
        assert isinstance(refused(store, data, max_image_bytes=len(PNG)), TooLarge)
        assert isinstance(refused(store, data, max_bytes=2 * len(PNG)), TooLarge)


def test_a_zip_of_two_million_members_is_refused_at_once(store: Store) -> None:
    """Its end record even claims that there is one member."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    directory = entry * 2_000_000
    start = b"PK\3\4" + bytes(26)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(start), 0)
    spec = upload(store, ("x", start + directory + end))
    del directory
    began = time.monotonic()
    tracemalloc.start()
    with pytest.raises(TooLarge, match="more than 1000000 members"):
        ingest(spec, store)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - began < 5
    assert peak < 32 << 20


# --- tar -----------------------------------------------------------------------------------------


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, **facts: Any) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    for key, value in facts.items():
        setattr(member, key, value)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def header(**fields: bytes) -> bytes:
    """A tar header block with some fields set by hand and a right checksum."""
    places = {"name": 0, "size": 124, "kind": 156, "magic": 257}
    block = bytearray(512)
    values = {"name": b"cat/a.png", "size": b"0000", "kind": b"0", "magic": b"ustar\x0000"}
    for key, value in (values | fields).items():
        block[places[key] : places[key] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    return header(kind=kind, size=b"%011o" % len(records)) + records.ljust(
        -(-len(records) // 512) * 512, b"\0"
    )


TAR = tarred({"cat/a.png": PNG, "cat/b.png": PNG})
END = bytes(1024)

TARS: dict[str, Case] = {
    "parent": (lambda: tarred({"../x.png": PNG}), InvalidRequest, "'../x.png'"),
    "inner-parent": (lambda: tarred({"cat/../../x.png": PNG}), InvalidRequest, "leads out"),
    "absolute": (lambda: tarred({"/cat/x.png": PNG}), InvalidRequest, "'/cat/x.png'"),
    "backslash": (lambda: tarred({"cat\\x.png": PNG}), InvalidRequest, "leads out"),
    "symlink": (
        lambda: tar_with("cat/l.png", tarfile.SYMTYPE, linkname="/etc/passwd"),
        InvalidRequest,
        "'cat/l.png' is a symbolic link",
    ),
    "folder-link": (
        lambda: tar_with("cat", tarfile.SYMTYPE, linkname="/etc"),
        InvalidRequest,
        "'cat' is a symbolic link",
    ),
    "hard-link": (
        lambda: tar_with("cat/l.png", tarfile.LNKTYPE, linkname="x"),
        InvalidRequest,
        "hard link",
    ),
    "device": (lambda: tar_with("cat/d.png", tarfile.CHRTYPE), InvalidRequest, "a device"),
    "block": (lambda: tar_with("cat/d.png", tarfile.BLKTYPE), InvalidRequest, "a device"),
    "fifo": (lambda: tar_with("cat/f.png", tarfile.FIFOTYPE), InvalidRequest, "a FIFO"),
    "sparse": (lambda: header(kind=b"S", size=b"77777777777") + END, InvalidRequest, "neither"),
    "pax-sparse": (
        lambda: pax(b"22 GNU.sparse.major=1\n") + header() + END,
        InvalidRequest,
        "GNU.sparse.major",
    ),
    "twice": (lambda: header() + header() + END, InvalidRequest, "'cat/a.png' occurs twice"),
    "no-name": (lambda: header(name=bytes(9)) + END, InvalidRequest, "no file name"),
    "not-utf8": (lambda: header(name=b"cat/\xff.png") + END, InvalidRequest, "not UTF-8"),
    "pax-nul": (lambda: pax(b"15 path=a/\0b.p\n") + header() + END, InvalidRequest, "no file"),
    "negative-size": (
        lambda: header(size=b"\xff" * 12) + END, CorruptData, "bad number",
    ),
    "negative-pax-size": (lambda: pax(b"11 size=-9\n") + header() + END, InvalidRequest, "size"),
    "endless-pax-size": (
        lambda: pax(b"5011 size=" + b"9" * 5000 + b"\n") + header() + END, InvalidRequest, "size",
    ),
    "huge-size": (lambda: header(size=b"77777777777") + END, TooLarge, "'cat/a.png'"),
    "huge-size-no-image": (
        lambda: header(name=b"cat/a.txt", size=b"77777777777") + END, CorruptData, "cut off",
    ),
    "huge-pax": (lambda: header(kind=b"x", size=b"77777777777") + END, TooLarge, "a header of"),
    "huge-long-name": (lambda: header(kind=b"L", size=b"77777777777") + END, TooLarge, "header"),
    "pax-digits": (lambda: pax(b"1" * 400_000) + header() + END, CorruptData, "malformed"),
    "pax-zero-length": (lambda: pax(b"0 a=b\n") + header() + END, CorruptData, "malformed"),
    "pax-chain": (lambda: pax(b"9 path=a\n") * 40 + header() + END, CorruptData, "in a row"),
    "global-chain": (lambda: pax(b"6 a=b\n", b"g") * 40 + header() + END, CorruptData, "in a row"),
    "cut-in-header": (lambda: TAR[:1300], CorruptData, "cut off after 'cat/a.png'"),
    "cut-in-data": (lambda: TAR[:600], CorruptData, "cut off after 'cat/a.png'"),
    "cut-at-member": (lambda: TAR[:2048], CorruptData, "cut off after 'cat/b.png'"),
    "no-end-mark": (lambda: header(), CorruptData, "cut off"),
    "damaged-header": (
        lambda: TAR[:1124] + b"!" + TAR[1125:], CorruptData, "damaged header after 'cat/a.png'",
    ),
    "empty": (lambda: tarred({}), InvalidRequest, "no images"),
    "half-gzip": (lambda: tarred(FILES, "w:gz")[:-20], CorruptData, "tar.gz"),
    "quarter-gzip": (lambda: tarred(FILES, "w:gz")[:60], CorruptData, "gzip file"),
    "gzip-checksum": (
        lambda: tarred(FILES, "w:gz")[:-8] + bytes(8), CorruptData, "tar.gz",
    ),
    "gzip-bomb": (
        lambda: gzip.compress(tarred({"cat/a.bmp": bytes(64 << 20)})), TooLarge, "200 times",
    ),
    "ignored-bomb": (
        lambda: gzip.compress(tarred({"cat/a.png": PNG, "x.txt": bytes(64 << 20)})),
        TooLarge,
        "200 times",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TARS)
def test_hostile_tars_are_refused(store: Store, name: str) -> None:
    build, kind, message = TARS[name]
    error = refused(store, build())
    assert type(error) is kind, error
    assert message in error.message


def test_a_tar_with_too_many_members_is_refused_in_little_memory(store: Store) -> None:
    """Two million members would be a gigabyte; fifty thousand tell the same about memory."""
    count = 50_000
    blocks = (header(name=b"cat/%d.txt" % number) for number in range(count + 1))
    spec = upload(store, ("x", b"".join(blocks) + END))
    began = time.monotonic()
    with pytest.raises(TooLarge, match="more than 50000 members"):
        ingest(spec, store, IngestLimits(max_members=count))
    assert time.monotonic() - began < 5


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0.1, 1),
    base=st.sampled_from(
        [
            TAR,
            tarred(FILES, tar_format=tarfile.GNU_FORMAT),
            zipped(FILES),
            STORED,
            tarred(FILES, "w:gz"),
            npz(images=IMAGES, labels=LABELS),
            npz(compressed=True, images=IMAGES, labels=LABELS.astype(str)),
            hdf5(lambda f: f.update({"images": IMAGES, "labels": ["a"] * 6})),
            pickle.dumps({"features": IMAGES, "labels": LABELS}, 2),
        ]
    ),
)
def test_damaged_uploads_give_rows_or_a_clear_error(
    store: Store, edits: list[tuple[float, int]], cut: float, base: bytes
) -> None:
    data = bytearray(base[: max(1, int(cut * len(base)))])
    for position, value in edits:
        data[int(position * (len(data) - 1))] = value
    before = set(contents(store))
    spec = upload(store, ("damaged", bytes(data)))
    try:
        assert len(ingest(spec, store)) > 0
    except FeaturepackError:
        assert {name for name in contents(store) if "incoming" not in name} == {
            name for name in before if "incoming" not in name
        }


# --- npz -----------------------------------------------------------------------------------------


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def npz_of(member: bytes) -> bytes:
    return zipped({"images.npy": member})


NPZ: dict[str, Case] = {
    "objects": (
        lambda: npz(images=IMAGES, labels=np.array([{}] * 6, object)),
        InvalidRequest,
        "'labels.npy' is object",
    ),
    "records": (
        lambda: npz(images=np.zeros(3, [("a", "u1")])), InvalidRequest, "'images.npy'",
    ),
    "scalar": (lambda: npz(images=np.uint8(3)), InvalidRequest, "'images.npy'"),
    "huge-shape": (lambda: npz_of(npy("'|u1'", "(10**9, 32, 32, 3)")), CorruptData, "images"),
    "huge-numbers": (lambda: npz_of(npy("'|u1'", "(1000000000, 32, 32, 3)")), TooLarge, "images"),
    "overflow": (lambda: npz_of(npy("'|u1'", f"({2**62}, 32, 32, 3)")), CorruptData, "shape"),
    "negative": (lambda: npz_of(npy("'|u1'", "(-1, 32, 32, 3)")), CorruptData, "shape"),
    "code": (lambda: npz_of(npy("exit()", "(1,)")), CorruptData, "images"),
    "nested": (lambda: npz_of(npy("'|u1'", "(" * 3000 + ")" * 3000)), CorruptData, "images"),
    "no-header": (lambda: npz_of(b"hello"), CorruptData, "images"),
    "short": (lambda: npz_of(npy("'|u1'", "(2, 4, 4, 3)", bytes(90))), CorruptData, "early"),
    "long": (lambda: npz_of(npy("'|u1'", "(2, 4, 4, 3)", bytes(99))), CorruptData, "more data"),
    "not-an-array": (
        lambda: zipped({"images.npy": npy("'|u1'", "(1,)"), "x.png": PNG}),
        InvalidRequest,
        "'x.png'",
    ),
    "encrypted": (
        lambda: bytes(
            b | (1 if i == npz(images=IMAGES).index(b"PK\1\2") + 8 else 0)
            for i, b in enumerate(npz(images=IMAGES))
        ),
        InvalidRequest,
        "encrypted",
    ),
    "bomb": (
        lambda: npz(compressed=True, images=np.zeros((2000, 224, 224, 1), np.uint8)),
        TooLarge,
        "200 times",
    ),
    "empty": (lambda: npz(images=IMAGES[:0]), InvalidRequest, "no images"),
}  # fmt: skip


@pytest.mark.parametrize("name", NPZ)
def test_hostile_npz_files_are_refused(store: Store, name: str) -> None:
    build, kind, message = NPZ[name]
    error = refused(store, build())
    assert type(error) is kind, error
    assert message in error.message


# --- HDF5 ----------------------------------------------------------------------------------------


def chunk_bomb(file: Any) -> None:
    """A chunk of 64 bytes whose deflated data unpacks to 64 MiB."""
    made = file.create_dataset("images", (4, 4, 4), np.uint8, chunks=(4, 4, 4), compression="gzip")
    made.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(64 << 20))[:1000])


def long_texts(file: Any) -> None:
    file["images"] = IMAGES
    file["labels"] = ["a" * 5000] * 6


def many_names(file: Any) -> None:
    for number in range(1001):
        file[f"x{number}"] = 0


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4, 4, 4), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 4, 4))
    file.create_virtual_dataset("images", layout)


def external_storage(file: Any) -> None:
    file.create_dataset("images", (4, 4, 4), np.uint8, external=[("/etc/passwd", 0, 64)])


def references(file: Any) -> None:
    file["images"] = IMAGES
    file.create_dataset("labels", data=[file["images"].ref] * 6, dtype=h5py.ref_dtype)


def put(name: str, value: Any) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        file["labels"] = LABELS
        file[name] = value

    return write


GOOD_HDF5 = hdf5(lambda f: f.update({"images": IMAGES}))

HDF5: dict[str, Case] = {
    "external-link": (
        lambda: hdf5(put("images", h5py.ExternalLink("/etc/passwd", "/x"))),
        InvalidRequest,
        "'images' is a link",
    ),
    "soft-link": (
        lambda: hdf5(put("images", h5py.SoftLink("/labels"))), InvalidRequest, "is a link",
    ),
    "inner-link": (
        lambda: hdf5(put("train/images", h5py.ExternalLink("a.h5", "/x"))),
        InvalidRequest,
        "'train/images' is a link",
    ),
    "virtual": (lambda: hdf5(virtual), InvalidRequest, "virtual"),
    "external": (lambda: hdf5(external_storage), InvalidRequest, "other files"),
    "huge-shape": (
        lambda: hdf5(lambda f: f.create_dataset("images", (10**9, 32, 32, 3), "u1", chunks=True)),
        TooLarge,
        "images",
    ),
    "huge-chunk": (
        lambda: hdf5(
            lambda f: f.create_dataset(
                "images", (2, 4, 4), "u1", chunks=(2**28, 4, 4), maxshape=(None, 4, 4)
            )
        ),
        InvalidRequest,
        "chunks of",
    ),
    "chunk-bomb": (lambda: hdf5(chunk_bomb), CorruptData, "unpacks to more"),
    "lzf": (
        lambda: hdf5(lambda f: f.create_dataset("images", data=IMAGES, compression="lzf")),
        InvalidRequest,
        "unusual method",
    ),
    "scale-offset": (
        lambda: hdf5(lambda f: f.create_dataset("images", data=IMAGES, scaleoffset=4)),
        InvalidRequest,
        "unusual method",
    ),
    "long-texts": (lambda: hdf5(long_texts), InvalidRequest, "texts of more"),
    "many-names": (lambda: hdf5(many_names), InvalidRequest, "names"),
    "references": (lambda: hdf5(references), InvalidRequest, "labels of train are object"),
    "compound": (
        lambda: hdf5(put("images", np.zeros(3, [("a", "u1")]))), InvalidRequest, "images are",
    ),
    "half": (lambda: GOOD_HDF5[: len(GOOD_HDF5) // 2], CorruptData, "cut off"),
    "magic-only": (lambda: GOOD_HDF5[:8] + bytes(600), CorruptData, "damaged"),
    "no-arrays": (lambda: hdf5(lambda f: f.create_group("x")), InvalidRequest, "no array of"),
    "empty": (lambda: hdf5(lambda f: f.update({"images": IMAGES[:0]})), InvalidRequest, "no im"),
}  # fmt: skip


@pytest.mark.parametrize("name", HDF5)
def test_hostile_hdf5_files_are_refused(store: Store, name: str) -> None:
    build, kind, message = HDF5[name]
    error = refused(store, build())
    assert type(error) is kind, error
    assert message in error.message


def test_a_group_that_holds_itself_ends(store: Store) -> None:
    def write(file: Any) -> None:
        file["train/images"] = IMAGES
        file["train/again"] = file["/"]
        file["train/train"] = file["train"]

    assert len(ingest(upload(store, ("x", hdf5(write))), store)) == 6


# --- pickles -------------------------------------------------------------------------------------


class Calls:
    """Pickled, it asks for a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"


def array(shape: bytes, dtype: bytes = DTYPE, raw: bytes = b"S'abcd'\n") -> bytes:
    return b"\x80\x02}S'x'\n" + RECONSTRUCT + b"(I1\n" + shape + dtype + b"I00\n" + raw + b"tbs."


OBJECT_DTYPE = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR"
FIELDS = DTYPE + b"(I3\nS'|'\nN(S'a'\nt}I-1\nI-1\nI0\ntb"
NAMED = "asks for"

PICKLES: dict[str, tuple[bytes, type[FeaturepackError], str]] = {
    "system": (b"\x80\x02cos\nsystem\n(S'touch OWNED'\ntR.", InvalidRequest, "'os.system'"),
    "posix": (b"\x80\x02cposix\nsystem\n(S'touch OWNED'\ntR.", InvalidRequest, NAMED),
    "eval": (pickle.dumps(Calls(eval, "1"), 2), InvalidRequest, "eval'"),
    "stack-global": (pickle.dumps(Calls(eval, "1"), 4), InvalidRequest, "eval'"),
    "getattr": (pickle.dumps(Calls(getattr, 1, "x"), 5), InvalidRequest, "getattr'"),
    "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", InvalidRequest, NAMED),
    "numpy-load": (b"\x80\x02cnumpy\nload\n(S'/etc/passwd'\ntR.", InvalidRequest, "'numpy.load'"),
    "number-name": (b"\x80\x04K\x01K\x02\x93.", InvalidRequest, NAMED),
    "instance": (b"(ios\nsystem\n.", InvalidRequest, "opcode"),
    "object": (b"(cnumpy\nndarray\no.", InvalidRequest, "opcode"),
    "new-object": (b"\x80\x02cnumpy\nndarray\n)\x81.", InvalidRequest, "opcode"),
    "new-object-ex": (b"\x80\x04cnumpy\nndarray\n)}\x92.", InvalidRequest, "opcode"),
    "extension-1": (b"\x80\x02\x82\x01.", InvalidRequest, "opcode"),
    "extension-4": (b"\x80\x02\x84\1\0\0\0.", InvalidRequest, "opcode"),
    "persistent": (b"\x80\x02P1\n.", InvalidRequest, "opcode"),
    "binary-persistent": (b"\x80\x02K\x01Q.", InvalidRequest, "opcode"),
    "buffer": (b"\x80\x05\x97.", InvalidRequest, "opcode"),
    "set": (b"\x80\x04\x8f.", InvalidRequest, "opcode"),
    "build-a-dict": (b"\x80\x02}}b.", CorruptData, "state"),
    "build-a-name": (b"\x80\x02cnumpy\ndtype\n}b.", CorruptData, "state"),
    "build-with-slots": (
        b"\x80\x02" + DTYPE + b"(N}S'__class__'\nI1\nstb.", CorruptData, "damaged",
    ),
    "call-a-text": (b"\x80\x02S'x'\n)R.", CorruptData, "called"),
    "call-ndarray": (b"\x80\x02cnumpy\nndarray\n(I9\ntR.", CorruptData, "unusual"),
    "reconstruct-other": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        CorruptData,
        "unusual",
    ),
    "huge-reconstruct": (
        array(b"(I1000000000000\nt").replace(b"(I0\nt", b"(I1000000000000\nt"),
        CorruptData,
        "claims the shape",
    ),
    "wrong-shape": (array(b"(I3\nt"), CorruptData, "claims the shape"),
    "negative-shape": (array(b"(I-1\nt"), CorruptData, "impossible"),
    "boolean-shape": (array(b"(I01\nt"), CorruptData, "impossible"),
    "many-dimensions": (array(b"(" + b"I1\n" * 40 + b"t"), CorruptData, "no tuple"),
    "object-dtype": (array(b"(I1\nt", OBJECT_DTYPE, b"(lNa"), InvalidRequest, "'O8'"),
    "object-data": (array(b"(I1\nt", raw=b"(lNa"), InvalidRequest, "objects"),
    "fields": (array(b"(I4\nt", FIELDS), InvalidRequest, "fields"),
    "void-dtype": (array(b"(I4\nt", DTYPE.replace(b"u1", b"V4")), InvalidRequest, "'V4'"),
    "date-dtype": (array(b"(I4\nt", DTYPE.replace(b"u1", b"M8")), InvalidRequest, "'M8'"),
    "no-state": (b"\x80\x02}S'x'\n" + RECONSTRUCT + b"s.", CorruptData, "no data"),
    "codec": (
        b"\x80\x02c_codecs\nencode\n(Vabc\nVzip\ntR.", CorruptData, "unusual",
    ),
    "tuple-key": (b"\x80\x02})Ns.", CorruptData, "key"),
    "huge-bytes": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.", CorruptData, "early"),
    "negative-bytes": (b"\x80\x02T\xff\xff\xff\xff.", CorruptData, "early"),
    "underflow": (b"\x80\x0200.", CorruptData, "empty"),
    "below-the-mark": (b"\x80\x02K\x01(0.", CorruptData, "empty"),
    "no-mark": (b"\x80\x02t.", CorruptData, "damaged"),
    "no-memo": (b"\x80\x02h\x09.", CorruptData, "damaged"),
    "no-stop": (b"\x80\x02}", CorruptData, "early"),
    "endless-number": (b"\x80\x02I" + b"9" * 100_000 + b"\n.", CorruptData, "damaged"),
    "no-dict": (pickle.dumps([1, 2], 2), InvalidRequest, "list"),
    "nested": (pickle.dumps({"x": {"y": 1}}, 2), InvalidRequest, "dict under 'x'"),
    "lists": (pickle.dumps({"x": [[1], [2]]}, 2), InvalidRequest, "list under 'x'"),
    "deep-lists": (
        b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".", InvalidRequest, "list",
    ),
    "deep-tuples": (b"\x80\x02)" + b"\x85" * 300_000 + b".", InvalidRequest, "tuple"),
    "deep-tuple-key": (
        b"\x80\x02}(" + b")" + b"\x85" * 300_000 + b"Nu.", CorruptData, "key",
    ),
    "list-in-itself": (b"\x80\x02}S'x'\n]q\x01h\x01as.", InvalidRequest, "list under 'x'"),
    "memo-index": (b"\x80\x02}r\xff\xff\xff\xff]q\x01.", InvalidRequest, "list"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles_are_refused_and_not_executed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data, kind, message = PICKLES[name]
    path = store.new_incoming()
    path.write_bytes(data)
    with pytest.raises(FeaturepackError) as caught:
        load_arrays(path, 1 << 20)
    assert type(caught.value) is kind, caught.value
    assert message in caught.value.message
    assert not (tmp_path / "OWNED").exists()
    refused(store, data)


def test_a_pickle_cannot_multiply_its_bytes(store: Store) -> None:
    """One text of 100 kB, encoded a thousand times over."""
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x010"
    once = b"c_codecs\nencode\n(h\x01Vlatin1\ntR0"
    path = store.new_incoming()
    path.write_bytes(b"\x80\x02" + text + once * 1000 + b"}.")
    with pytest.raises(TooLarge, match="more bytes"):
        load_arrays(path, 50_000_000)
    array_once = array(b"(I4\nt")[2:-2].replace(b"}", b"")
    path.write_bytes(b"\x80\x02" + (array_once + b"00") * 100 + b"}.")
    with pytest.raises(TooLarge):
        load_arrays(path, path.stat().st_size - 1)


def test_a_pickle_may_not_run_forever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sources.pickle_machine.MAX_STEPS", 1000)
    path = store.new_incoming()
    path.write_bytes(b"\x80\x02" + b"N0" * 1000 + b"}.")
    with pytest.raises(TooLarge, match="steps"):
        load_arrays(path, 1 << 20)


CODES = st.binary(min_size=1, max_size=3) | st.sampled_from(
    [DTYPE, RECONSTRUCT, b"(", b"t", b"}", b"]", b"b", b"R", b"0", b"2", b"q\x01", b"h\x01", b"u"]
)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(CODES, max_size=30))
def test_random_opcodes_give_arrays_or_a_clear_error(tmp_path: Path, parts: list[bytes]) -> None:
    path = tmp_path / "random.p"
    path.write_bytes(b"\x80\x02" + b"".join(parts) + b".")
    try:
        found = load_arrays(path, 1000)
    except FeaturepackError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())


# --- several at once -----------------------------------------------------------------------------


def test_the_files_are_closed_after_a_refusal(store: Store) -> None:
    """The store's files could not be removed on some systems, and descriptors would run out."""
    gc.collect()  # what earlier tests left to be closed
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    for data in (npz(x=IMAGES, y=LABELS[:2]), zip_bomb(), npz(x=IMAGES * 1.0), TAR[:600]):
        refused(store, data)
    assert {path.name for path in Path("/proc/self/fd").iterdir()} <= before


def test_a_source_that_is_never_read_can_be_closed(store: Store) -> None:
    for data in (npz(x=IMAGES), hdf5(lambda f: f.update({"x": IMAGES})), zipped(FILES)):
        source = open_source(upload(store, ("x", data)), store, IngestLimits())
        source.images.close()
        source.resources.close()
