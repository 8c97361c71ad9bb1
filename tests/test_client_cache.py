"""Packs in the cache of a client: fetched once, by parts, checked, mapped, and let go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.publish import delete_pack
from cache.store import Store
from featurepack import Client, Conflict, ConnectionFailed, CorruptData, DiskFull, InvalidRequest
from featurepack.cli.main import main
from featurepack.local import fetch, journal
from featurepack.local.folder import Folder
from featurepack.local.settings import DEFAULT_BYTES, LocalSettings
from featurepack.transport import Retry
from tests.live import Line, live
from tests.processes import ROOT, wait_until
from tests.talking import keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
OTHER = "cccccccccccc-dddddddddddd"
ROWS, WIDTH = 6000, 1024
"""24 MB, so that there are two runs of pieces."""


@pytest.fixture
def line(store: Store) -> Iterator[Line]:
    with live(store) as line:
        yield line


@pytest.fixture
def pack_path(line: Line, store: Store) -> Path:
    keep_pack(store, PACK, ROWS, WIDTH)
    return store.pack(PACK)


def client_of(line: Line, **options: object) -> Client:
    return Client(line.url, retry=Retry(first_pause=0.01), **options)  # type: ignore[arg-type]


def settle(client: Client) -> None:
    """Wait until what was fetched has its final name."""
    assert client._cache is not None
    client._cache.settle()


@pytest.fixture
def slow_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is fast enough to be alone."""
    monkeypatch.setattr(fetch, "ALONE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "FAST", 1 << 50)


def stored(path: Path, name: str = "features") -> np.ndarray:
    with h5py.File(path) as file:
        found: np.ndarray = file[name][:]
    return found


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/*"))


def test_arrays_are_maps_of_what_was_fetched_once(line: Line, pack_path: Path) -> None:
    with client_of(line) as client:
        X, y = client.pack_features(PACK), client.labels(PACK)
        np.testing.assert_array_equal(X, stored(pack_path))
        np.testing.assert_array_equal(y, stored(pack_path, "labels"))
        assert isinstance(X, np.memmap)
        assert not X.flags.writeable
        assert not y.flags.writeable
        assert line.ranges() == [(0, pack_path.stat().st_size - 1)]
        line.asked.clear()
        part = client.pack_features(PACK, "validation", start=3, stop=9, step=2)
        np.testing.assert_array_equal(part, stored(pack_path)[4803:4809:2])
        assert isinstance(part, np.memmap)
        assert [path for path, _ in line.asked] == [f"/v1/packs/{PACK}"]


def test_few_rows_come_over_the_wire_until_the_pack_is_here(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    with client_of(line) as client:
        few = client.pack_features(PACK, stop=ROWS // 4 - 1)
        assert few.flags.writeable
        client.pack_features(PACK, label=1, sample=5)
        client.rows(PACK, [1, 2, 3])
        assert not local_cache.exists()
        client.pack_features(PACK, stop=ROWS // 4)
        settle(client)
        assert "pack.h5" in files_in(local_cache)
        assert not client.pack_features(PACK, stop=5).flags.writeable


def test_without_a_cache_nothing_is_kept(line: Line, pack_path: Path, local_cache: Path) -> None:
    with client_of(line, cache=False) as client:
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))
    assert not local_cache.exists()


PROGRAM = """
import sys
import numpy as np
from featurepack import Client
with Client(sys.argv[1]) as client:
    X = client.pack_features(sys.argv[2])
    print(float(np.abs(X).sum(dtype=np.float64)))
"""


def program(line: Line) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, line.url, PACK]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_five_processes_at_once_fetch_a_pack_once(line: Line, pack_path: Path) -> None:
    processes = [program(line) for _ in range(5)]
    sums = {process.communicate(timeout=120)[0] for process in processes}
    assert sums == {f"{float(np.abs(stored(pack_path)).sum(dtype=np.float64))}\n"}
    assert sum(last - first + 1 for first, last in line.ranges()) == pack_path.stat().st_size


def test_threads_at_once_fetch_a_pack_once(line: Line, pack_path: Path) -> None:
    with client_of(line) as client:
        threads = [threading.Thread(target=client.pack_features, args=(PACK,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(last - first + 1 for first, last in line.ranges()) == pack_path.stat().st_size


def test_a_killed_download_goes_on_without_what_is_here(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    line.hold = 13 << 20
    killed = program(line)

    def pieces() -> list[int]:
        found = list(local_cache.glob("*/journal"))
        return [int(text) for text in found[0].read_text().split("\n")[1:-1]] if found else []

    wait_until(lambda: len(pieces()) >= 2)
    killed.kill()
    killed.communicate()
    done = pieces()
    assert "pack.h5" not in files_in(local_cache)
    line.release.set()
    line.asked.clear()
    with client_of(line) as client:
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))
    asked = {first // journal.PIECE_BYTES for first, _ in line.ranges()}
    covered = {
        piece
        for first, last in line.ranges()
        for piece in range(first // journal.PIECE_BYTES, last // journal.PIECE_BYTES + 1)
    }
    assert asked
    assert not covered & set(done)
    assert files_in(local_cache) == ["layout.json", "lock", "pack.h5"]


def test_connections_that_break_anywhere_heal(line: Line, pack_path: Path) -> None:
    line.cuts = [5_000_000, 0, 1, 65_537, 4 << 20]
    with client_of(line) as client:
        told: list[int] = []
        X = client.pack_features(PACK, on_bytes=lambda done, _: told.append(done))
        np.testing.assert_array_equal(X, stored(pack_path))
        assert told[-1] == pack_path.stat().st_size
    assert line.cuts == []


def test_a_line_that_only_breaks_is_given_up_and_taken_up_later(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    line.cuts = [9 << 20, *[0] * 100]
    with client_of(line) as client:
        with pytest.raises(ConnectionFailed):
            client.pack_features(PACK)
        assert "pack.h5" not in files_in(local_cache)
        line.cuts.clear()
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))


@pytest.mark.parametrize("place", [10, 5_000_000, -10])
def test_a_byte_that_changed_on_the_way_is_fetched_again(
    line: Line, pack_path: Path, place: int
) -> None:
    line.flip = [place % pack_path.stat().st_size]
    with client_of(line) as client:
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))
    assert line.flip == []
    first = sum(last - first + 1 for first, last in line.ranges())
    assert first - pack_path.stat().st_size < 4 * journal.PIECE_BYTES


def test_bytes_that_change_again_and_again_are_refused(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    def flip_again(_: str) -> None:
        line.flip = [5_000_000]

    line.before = flip_again
    with client_of(line) as client, pytest.raises(CorruptData, match="came twice"):
        client.pack_features(PACK)
    assert "pack.h5" not in files_in(local_cache)
    assert "pack.part" not in files_in(local_cache)


def test_a_pack_that_is_replaced_meanwhile_is_fetched_anew(
    line: Line, pack_path: Path, store: Store
) -> None:
    new: list[np.ndarray] = []

    def replace(path: str) -> None:
        if path.endswith("/layout") and not new:
            database = Database(store.database_url)
            delete_pack(Catalogue(database), store, PACK)
            database.close()
            new.append(keep_pack(store, PACK, ROWS // 2, WIDTH))

    line.before = replace
    with client_of(line) as client:
        X = client.pack_features(PACK)
    np.testing.assert_array_equal(X, new[0])


def test_the_least_recently_used_goes_but_not_what_is_mapped(
    line: Line, pack_path: Path, store: Store, local_cache: Path
) -> None:
    keep_pack(store, OTHER, ROWS, WIDTH)
    limit = int(1.5 * pack_path.stat().st_size)
    with client_of(line, cache_bytes=limit) as client:
        X = client.pack_features(PACK)
        client.pack_features(OTHER)
        settle(client)
        assert len(list(local_cache.glob("*/pack.h5"))) == 2
        del X
        third = "eeeeeeeeeeee-ffffffffffff"
        keep_pack(store, third, ROWS, WIDTH)
        client.pack_features(third)
        settle(client)
        assert [path.parent.name[:25] for path in local_cache.glob("*/pack.h5")] == [third]
        client.pack_features(OTHER, stop=5)


def test_what_is_mapped_may_be_deleted(line: Line, pack_path: Path, local_cache: Path) -> None:
    with client_of(line) as client:
        X = client.pack_features(PACK)
        settle(client)
        shutil.rmtree(local_cache)
        np.testing.assert_array_equal(X, stored(pack_path))
        np.testing.assert_array_equal(client.pack_features(PACK), X)


def test_a_pack_larger_than_the_cache_comes_over_the_wire(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    with client_of(line, cache_bytes=1000) as client:
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))
    assert not local_cache.exists()


def test_clearing_leaves_what_is_in_use(line: Line, pack_path: Path, local_cache: Path) -> None:
    folder = Folder(local_cache, DEFAULT_BYTES)
    with client_of(line) as client:
        X = client.pack_features(PACK)
        assert folder.clear() == 0
        settle(client)
        assert folder.clear() == 0
        del X
        assert folder.clear() > pack_path.stat().st_size
    assert [path.name for path in local_cache.iterdir()] == ["format"]


def test_a_folder_of_a_newer_version_is_left_alone(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    with client_of(line) as client:
        client.pack_features(PACK)
    before = files_in(local_cache)
    assert (local_cache / "format").read_text() == "1\n"
    (local_cache / "format").write_text("2\n")
    with client_of(line) as client, pytest.raises(Conflict, match=r"format 2.*knows 1"):
        client.pack_features(PACK)
    with pytest.raises(Conflict):
        Folder(local_cache, DEFAULT_BYTES).clear()
    assert files_in(local_cache) == before


def test_a_full_disk_leaves_no_file(line: Line, pack_path: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with client_of(line, cache_dir=small) as client:
            with pytest.raises(DiskFull, match=r"no room for .* in ") as caught:
                client.pack_features(PACK)
            assert "cache_dir" in caught.value.remedy
            assert files_in(small) == ["lock"]
            with pytest.raises(DiskFull):
                client.download(PACK, small / "out.h5")
            assert not (small / "out.h5").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_service_without_ranges_sends_the_whole(line: Line, pack_path: Path) -> None:
    def without(request: httpx.Request) -> None:
        request.headers.pop("Range", None)

    with httpx.Client(base_url=line.url, event_hooks={"request": [without]}) as http:
        X = Client(http=http).pack_features(PACK)
    np.testing.assert_array_equal(X, stored(pack_path))


def test_a_file_that_somebody_cut_is_fetched_anew(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    with client_of(line) as client:
        client.pack_features(PACK)
        settle(client)
        (file,) = local_cache.glob("*/pack.h5")
        os.truncate(file, 1000)
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))


def test_where_packs_are_kept(tmp_path: Path) -> None:
    env = {"FEATUREPACK_CACHE": "/a", "FEATUREPACK_CACHE_BYTES": "7", "XDG_CACHE_HOME": "/x"}
    assert LocalSettings.chosen(env=env) == LocalSettings(Path("/a"), 7)
    assert LocalSettings.chosen("/b", 9, env) == LocalSettings(Path("/b"), 9)
    assert LocalSettings.chosen(env={"XDG_CACHE_HOME": "/x"}).folder == Path("/x/featurepack")
    home = LocalSettings.chosen(env={"XDG_CACHE_HOME": "relative"})
    assert home == LocalSettings(Path.home() / ".cache" / "featurepack", DEFAULT_BYTES)
    with pytest.raises(InvalidRequest, match="no number of bytes"):
        LocalSettings.chosen(env={"FEATUREPACK_CACHE_BYTES": "50 GB"})


def test_the_command_shows_and_clears_the_cache(
    line: Line, pack_path: Path, local_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with client_of(line) as client:
        client.pack_features(PACK)
    assert main(["cache", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["pack"].startswith(PACK)
    assert shown["complete"] is True
    assert shown["bytes"] > pack_path.stat().st_size
    assert main(["cache"]) == 0
    assert "25.1 MB  yes" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.endswith(" MB freed\n")
    assert main(["cache"]) == 0
    assert PACK not in capsys.readouterr().out


def test_a_pack_that_is_here_is_pulled_without_a_transfer(
    line: Line, pack_path: Path, tmp_path: Path
) -> None:
    with client_of(line) as client:
        client.pack_features(PACK)
        line.asked.clear()
        client.download(PACK, tmp_path / "out.h5")
        client.download(PACK, tmp_path / "out.npz")
    assert line.ranges() == []
    assert (tmp_path / "out.h5").read_bytes() == pack_path.read_bytes()
    with np.load(tmp_path / "out.npz") as arrays:
        np.testing.assert_array_equal(arrays["features"], stored(pack_path))


def test_what_could_not_be_kept_is_taken_up_by_the_next(
    line: Line, pack_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with client_of(line) as client:
        with monkeypatch.context() as patch:
            patch.setattr("featurepack.local.cache.put_in_place", full)
            X = client.pack_features(PACK)
            settle(client)
        np.testing.assert_array_equal(X, stored(pack_path))
        assert "could not be kept" in caplog.text
        line.asked.clear()
        np.testing.assert_array_equal(client.pack_features(PACK), X)
        settle(client)
        assert line.ranges() == []
        line.asked.clear()
        assert isinstance(client.pack_features(PACK), np.memmap)
        assert [path for path, _ in line.asked] == [f"/v1/packs/{PACK}"]


def test_a_process_that_ends_keeps_what_it_fetched(
    line: Line, pack_path: Path, local_cache: Path
) -> None:
    code = f"from featurepack import Client; Client({line.url!r}).pack_features({PACK!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
    assert files_in(local_cache) == ["layout.json", "lock", "pack.h5"]


def test_a_slow_line_has_several_connections(line: Line, pack_path: Path, slow_line: None) -> None:
    line.hold = 1 << 20
    with client_of(line) as client:
        got: list[np.ndarray] = []
        thread = threading.Thread(target=lambda: got.append(client.pack_features(PACK)))
        thread.start()
        wait_until(lambda: len(line.ranges()) == 2)
        line.release.set()
        thread.join()
    np.testing.assert_array_equal(got[0], stored(pack_path))
    assert line.ranges() == [
        (0, pack_path.stat().st_size - 1),
        (16 << 20, pack_path.stat().st_size - 1),
    ]


def test_one_connection_of_several_may_be_refused(
    line: Line, pack_path: Path, slow_line: None
) -> None:
    line.refused = 5  # the first try of one connection and its four repetitions
    with client_of(line) as client:
        np.testing.assert_array_equal(client.pack_features(PACK), stored(pack_path))
    assert line.refused == 0
