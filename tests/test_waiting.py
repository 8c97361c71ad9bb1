"""Head jobs that wait for a pack's job, on both databases."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from cache.database import Database
from cache.errors import InvalidRequest, Unavailable
from cache.head_ids import head_id_of, head_job_key
from cache.job import Job, NewJob
from cache.jobs import Jobs
from cache.leases import MAX_DEATHS, MAX_FAILURES, Leases
from cache.sight import EVERYTHING, UNOWNED
from cache.tables import jobs as jobs_table
from cache.waiting import release

EXTRACT = NewJob("extract", "extract:a", {"pack_id": "a"}, UNOWNED, submitter="ann")
SPEC = {"pack_id": "a", "method": "linear", "params": {}, "train": "train", "validation": None}
HEAD = NewJob("head", head_job_key(SPEC), SPEC, UNOWNED, after="extract:a")


def submit(database: Database, new: NewJob) -> Job:
    job = Jobs(database).enqueue(new)
    assert isinstance(job, Job)
    return job


def claim(database: Database, kind: str, lease_seconds: float = 30) -> list[Job]:
    return Leases(database).claim("w", [kind], lease_seconds)


def publish(database: Database, job: Job) -> None:
    def published(connection: sa.Connection) -> dict[str, str]:
        release(connection, database, job.key, "etag")
        return {}

    Leases(database).finish(job, published)


def test_a_head_is_not_claimed_before_its_pack_is_there(database: Database) -> None:
    submit(database, EXTRACT)
    head = submit(database, HEAD)
    assert (head.state, head.waits_for) == ("queued", "extract:a")
    assert claim(database, "head") == []
    assert submit(database, HEAD).id == head.id
    assert claim(database, "head") == [], "nor when it is asked for again"
    (mine,) = claim(database, "extract")
    assert claim(database, "head") == []
    publish(database, mine)
    (released,) = claim(database, "head")
    assert released.id == head.id
    assert released.spec["head_id"] == head_id_of(SPEC, "etag")


def test_without_a_job_to_wait_for_it_is_claimed_at_once(database: Database) -> None:
    assert submit(database, HEAD).waits_for is None
    assert len(claim(database, "head")) == 1


def test_it_waits_while_the_packs_job_is_taken_over_pauses_or_is_handed_back(
    database: Database,
) -> None:
    submit(database, EXTRACT)
    submit(database, HEAD)
    claim(database, "extract", lease_seconds=-1)
    (mine,) = claim(database, "extract")
    Leases(database).hand_back(mine)
    (mine,) = claim(database, "extract")
    Leases(database).retry(mine, Unavailable("the disk is full"))
    assert claim(database, "head") == []
    with database.write() as connection:
        connection.execute(sa.update(jobs_table).values(due=0.0))
    (mine,) = claim(database, "extract")
    publish(database, mine)
    assert len(claim(database, "head")) == 1


@pytest.mark.parametrize("end", ["fails", "dies", "does not pass", "cancelled", "queued cancelled"])
def test_it_fails_with_the_packs_job_and_says_why(database: Database, end: str) -> None:
    jobs, leases = Jobs(database), Leases(database)
    job = submit(database, EXTRACT)
    head = submit(database, HEAD)
    if end == "queued cancelled":
        jobs.cancel(job.id, "ann")
    elif end == "dies":
        for _ in range(MAX_DEATHS + 1):
            claim(database, "extract", lease_seconds=-1)
    elif end == "does not pass":
        for _ in range(MAX_FAILURES + 1):
            leases.retry(claim(database, "extract")[0], Unavailable("the disk is full"))
            with database.write() as connection:
                connection.execute(sa.update(jobs_table).values(due=0.0))
    else:
        (mine,) = claim(database, "extract")
        if end == "fails":
            leases.fail(mine, InvalidRequest("the layer is not there", value="x", remedy="mend it"))
        else:
            jobs.cancel(job.id, "ann")
            assert jobs.get(head.id, EVERYTHING).state == "queued", (
                "not before its worker has stopped"
            )
            leases.end_cancelled(mine)
    ended = jobs.get(head.id, EVERYTHING)
    assert ended.state == "failed"
    assert ended.finished is not None
    assert ended.error is not None
    assert "pack a" in ended.error["detail"]
    if end == "fails":
        assert ended.error["detail"].endswith("was not built: the layer is not there")
        assert (ended.error["kind"], ended.error["remedy"]) == ("invalid-request", "mend it")
    if "cancelled" in end:
        assert "was cancelled" in ended.error["detail"]
    assert claim(database, "head") == []


def test_a_head_that_is_withdrawn_while_it_waits_stays_so(database: Database) -> None:
    submit(database, EXTRACT)
    head = submit(database, HEAD)
    assert Jobs(database).cancel(head.id).state == "cancelled"
    publish(database, claim(database, "extract")[0])
    assert Jobs(database).get(head.id, EVERYTHING).state == "cancelled"


def test_none_is_left_behind_when_the_pack_is_published_just_then(database: Database) -> None:
    """Heads are submitted from threads while the pack's job ends: each waits no more, or never."""
    submit(database, EXTRACT)
    (mine,) = claim(database, "extract")
    begun = threading.Barrier(9)

    def add(number: int) -> None:
        spec = SPEC | {"params": {"seed": number}}
        begun.wait()
        submit(database, NewJob("head", head_job_key(spec), spec, UNOWNED, after="extract:a"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    publish(database, mine)
    for thread in threads:
        thread.join()
    claimed = 0
    while claim(database, "head"):
        claimed += 1
    assert claimed == 8


def test_the_release_is_undone_with_the_transaction(database: Database) -> None:
    submit(database, EXTRACT)
    submit(database, HEAD)
    (mine,) = claim(database, "extract")

    def broken(connection: sa.Connection) -> dict[str, str]:
        release(connection, database, mine.key, "etag")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Leases(database).finish(mine, broken)
    assert claim(database, "head") == []
