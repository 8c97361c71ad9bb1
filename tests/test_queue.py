"""The queue on both databases: coalescing, leases, fencing, takeover."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cache.database import Database
from cache.errors import Conflict, InvalidRequest, LeaseLost, NotFound
from cache.jobs import Job, Jobs, NewJob
from cache.leases import MAX_DEATHS, Leases

NEW = NewJob("extract", "extract:a", {"pack_id": "a"})


def nothing(_: sa.Connection) -> None:
    return None


def submit(database: Database, new: NewJob = NEW) -> Job:
    job = Jobs(database).submit(new, nothing)
    assert isinstance(job, Job)
    return job


def claim(database: Database, worker: str = "w", lease_seconds: float = 30) -> list[Job]:
    return Leases(database).claim(worker, ["extract"], lease_seconds)


def test_the_same_request_is_one_job(database: Database) -> None:
    assert submit(database).id == submit(database).id
    assert submit(database, replace(NEW, key="extract:b")).id != submit(database).id


def test_many_submitters_at_once_get_one_job(database: Database) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(submit(database).id)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 12
    assert len(set(ids)) == 1


def test_an_answer_that_is_there_makes_no_job(database: Database) -> None:
    assert Jobs(database).submit(NEW, lambda _: "the pack") == "the pack"
    assert Jobs(database).page().items == []


def test_a_finished_job_does_not_stop_a_new_one(database: Database) -> None:
    first = submit(database)
    Leases(database).finish(claim(database)[0], lambda _: {})
    assert submit(database).id != first.id


def test_claim_takes_the_highest_priority_then_the_oldest(database: Database) -> None:
    submit(database, replace(NEW, key="1"))
    submit(database, replace(NEW, key="2", priority=5))
    submit(database, replace(NEW, key="3"))
    assert [claim(database)[0].key for _ in range(3)] == ["2", "1", "3"]
    assert claim(database) == []


def test_claim_takes_its_own_kinds_only(database: Database) -> None:
    submit(database, replace(NEW, kind="head"))
    assert claim(database) == []
    assert len(Leases(database).claim("w", ["head"], 30)) == 1


def test_jobs_that_share_a_forward_pass_are_claimed_together(database: Database) -> None:
    for key in "abc":
        submit(database, replace(NEW, key=key, together="same"))
    submit(database, replace(NEW, key="d", together="other"))
    assert [job.key for job in claim(database)] == ["a", "b", "c"]
    assert [job.key for job in claim(database)] == ["d"]


def test_two_workers_never_hold_one_job(database: Database) -> None:
    for number in range(30):
        submit(database, replace(NEW, key=str(number)))
    claimed: list[str] = []

    def work(name: str) -> None:
        while jobs := claim(database, name):
            claimed.extend(job.id for job in jobs)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 30


def test_a_job_is_taken_over_when_its_lease_has_ended_and_the_first_worker_is_fenced(
    database: Database,
) -> None:
    submit(database)
    leases = Leases(database)
    (mine,) = claim(database, "slow", lease_seconds=0.3)
    leases.record_shard(mine, 0, b"0" * 16)
    assert claim(database, "other") == []
    time.sleep(0.35)
    (theirs,) = claim(database, "other")
    assert (theirs.attempt, theirs.deaths, theirs.worker) == (2, 1, "other")
    assert leases.recorded_shards(theirs) == {0: b"0" * 16}
    for write in (
        lambda: leases.heartbeat(mine, 30),
        lambda: leases.progress(mine, {}),
        lambda: leases.record_shard(mine, 1, b"1" * 16),
        lambda: leases.forget_shards(mine),
        lambda: leases.hand_back(mine),
        lambda: leases.end_cancelled(mine),
        lambda: leases.fail(mine, NotFound("x")),
    ):
        with pytest.raises(LeaseLost):
            write()
    published: list[bool] = []
    with pytest.raises(LeaseLost):
        leases.finish(mine, lambda _: published.append(True) or {})
    assert published == []
    assert leases.recorded_shards(theirs) == {0: b"0" * 16}
    leases.finish(theirs, lambda _: {"pack_id": "a"})
    assert Jobs(database).get(mine.id).result == {"pack_id": "a"}


def test_a_heartbeat_prolongs_the_lease(database: Database) -> None:
    submit(database)
    (mine,) = claim(database, lease_seconds=0.4)
    for _ in range(4):
        time.sleep(0.2)
        assert Leases(database).heartbeat(mine, 0.4) is False
    assert claim(database, "other") == []


def test_a_result_is_published_with_the_end_of_the_job_or_not_at_all(database: Database) -> None:
    submit(database)
    (mine,) = claim(database)

    def publish(connection: sa.Connection) -> dict[str, str]:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Leases(database).finish(mine, publish)
    assert Jobs(database).get(mine.id).state == "running"


def test_handing_back_keeps_the_shards_and_counts_no_death(database: Database) -> None:
    submit(database)
    (mine,) = claim(database)
    Leases(database).record_shard(mine, 3, b"3" * 16)
    Leases(database).hand_back(mine)
    (again,) = claim(database, "other")
    assert (again.attempt, again.deaths) == (2, 0)
    assert Leases(database).recorded_shards(again) == {3: b"3" * 16}


def test_a_job_that_kills_its_workers_fails_for_good(database: Database) -> None:
    job = submit(database)
    for _ in range(MAX_DEATHS):
        assert claim(database, lease_seconds=0.01)
        time.sleep(0.02)
    assert claim(database) == []
    ended = Jobs(database).get(job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "workers died" in ended.error["detail"]


def test_cancelling(database: Database) -> None:
    jobs, leases = Jobs(database), Leases(database)
    queued = submit(database)
    assert jobs.cancel(queued.id).state == "cancelled"
    assert claim(database) == []
    running = submit(database)
    (mine,) = claim(database)
    assert jobs.cancel(running.id).cancelling
    assert leases.heartbeat(mine, 30) is True
    leases.end_cancelled(mine)
    assert jobs.get(running.id).state == "cancelled"
    done = submit(database)
    leases.finish(claim(database)[0], lambda _: {})
    with pytest.raises(Conflict, match="already succeeded"):
        jobs.cancel(done.id)
    with pytest.raises(NotFound):
        jobs.cancel("nope")


def test_a_job_that_somebody_wants_again_is_not_cancelled(database: Database) -> None:
    job = submit(database)
    (mine,) = claim(database)
    Jobs(database).cancel(job.id)
    assert Leases(database).progress(mine, {}) is True
    assert submit(database).id == job.id
    Leases(database).end_cancelled(mine)
    (again,) = claim(database)
    assert (again.id, again.cancelling) == (job.id, False)


def test_a_job_whose_worker_died_while_it_was_cancelled_is_cancelled(database: Database) -> None:
    job = submit(database)
    claim(database, lease_seconds=0.01)
    Jobs(database).cancel(job.id)
    time.sleep(0.02)
    assert claim(database) == []
    assert Jobs(database).get(job.id).state == "cancelled"


def test_pages_show_every_job_once_while_more_come(database: Database) -> None:
    ids = [submit(database, replace(NEW, key=str(number))).id for number in range(7)]
    page = Jobs(database).page(limit=3)
    seen = [job.id for job in page.items]
    submit(database, replace(NEW, key="late"))
    while page.next_cursor:
        page = Jobs(database).page(limit=3, cursor=page.next_cursor)
        seen += [job.id for job in page.items]
    assert seen == ids[::-1]
    with pytest.raises(InvalidRequest, match="not one of ours"):
        Jobs(database).page(cursor="bm8=")


def test_migrating_again_changes_nothing(database: Database) -> None:
    submit(database)
    threads = [threading.Thread(target=database.migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Jobs(database).page().items) == 1
