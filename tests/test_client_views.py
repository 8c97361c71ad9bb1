"""The client: lists of packs, what their rows are like, and jobs that are tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from featurepack import Client, Conflict, CorruptData, Job, NotFound, Pack, PackBrief
from tests.serving import PAIR, Serving, images, wait, zipped


@pytest.fixture
def client(served: Serving) -> Iterator[Client]:
    with Client(http=served.http, cache=False) as opened:
        yield opened


def test_packs_are_searched_and_sorted(client: Client, pack: dict[str, Any]) -> None:
    assert pack["pack_id"] in [found.pack_id for found in client.packs("SQUEEZE set")]
    assert client.packs("nothing like it") == []
    hits = [found.hits for found in client.packs(sort="hits", ascending=True)]
    assert hits == sorted(hits)
    client.pin(pack["pack_id"])
    assert [found.pack_id for found in client.packs(pinned=True)] == [pack["pack_id"]]
    client.unpin(pack["pack_id"])
    (found,) = client.packs(pack["pack_id"], tap=pack["tap"])
    assert isinstance(found, PackBrief)
    assert isinstance(client.pack(found.pack_id), Pack)
    assert found.tap == pack["tap"]


def test_statistics_and_maps_are_waited_for(served: Serving, client: Client) -> None:
    found = wait(served, PAIR | {"weights": "random:51"})
    statistics = client.statistics(found["pack_id"])
    assert statistics["rows_valid"] == 31
    points_N = client.pack_map(found["pack_id"])
    assert points_N["row"].tolist() == list(range(31))
    assert np.isfinite(points_N["x"]).all()
    heard: list[Job] = []
    assert len(client.pack_map(found["pack_id"], "tsne", on_progress=heard.append)) == 31
    with pytest.raises(NotFound):
        client.statistics("nope")


def test_a_job_is_tried_again(served: Serving, client: Client) -> None:
    members = {"train/a/1.png": b"broken", "train/b/2.png": images(1)[0]}
    served.upload("/v1/datasets", name="again", file=("m.zip", zipped(members)))
    body: dict[str, Any] = PAIR | {"dataset": "again"}
    job = client.submit(**body, on_error="fail")
    assert isinstance(job, Job)
    with pytest.raises(CorruptData):
        client.wait(job)
    again = client.retry(job.id)
    assert isinstance(again, Job)
    assert again.id != job.id
    with pytest.raises(CorruptData):
        client.wait(again)
    client.extract(**body)  # with the broken image masked: still not what was asked for
    with pytest.raises(CorruptData):
        client.retry(job.id)
    done = client.jobs(kind="extract", state="succeeded", limit=1)[0]
    with pytest.raises(Conflict, match="succeeded"):
        client.retry(done.id)
