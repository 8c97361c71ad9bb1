"""The queue on both databases: coalescing, leases, fencing, takeover."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cache.claims import SUSPECT_DEATHS
from cache.database import Database
from cache.errors import Conflict, InvalidRequest, LeaseLost, NotFound, Unavailable
from cache.job import Job, NewJob
from cache.jobs import Jobs
from cache.leases import MAX_DEATHS, MAX_FAILURES, Leases, Shard, pause_after
from cache.sight import EVERYTHING, UNOWNED
from cache.submitters import MAX_SUBMITTERS
from cache.tables import jobs as jobs_table

NEW = NewJob("extract", "extract:a", {"pack_id": "a"}, UNOWNED)
ZERO = Shard(0, b"0" * 16, copied=3)


def nothing(_: sa.Connection) -> None:
    return None


def submit(database: Database, new: NewJob = NEW) -> Job:
    job = Jobs(database).submit(new, nothing)
    assert isinstance(job, Job)
    return job


def claim(database: Database, worker: str = "w", lease_seconds: float = 30) -> list[Job]:
    return Leases(database).claim(worker, ["extract"], lease_seconds)


def make_due(database: Database) -> None:
    """As if the pauses were over."""
    with database.write() as connection:
        connection.execute(sa.update(jobs_table).values(due=0.0))


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
    assert Jobs(database).page(EVERYTHING).items == []


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
    leases.record_shards(mine, [ZERO])
    assert claim(database, "other") == []
    time.sleep(0.35)
    (theirs,) = claim(database, "other")
    assert (theirs.attempt, theirs.deaths, theirs.worker) == (2, 1, "other")
    assert leases.recorded_shards("a") == [ZERO]
    for write in (
        lambda: leases.heartbeat(mine, 30),
        lambda: leases.progress(mine, {}),
        lambda: leases.record_shards(mine, [Shard(1, b"1" * 16)]),
        lambda: leases.forget_shards(mine),
        lambda: leases.hand_back(mine),
        lambda: leases.end_cancelled(mine),
        lambda: leases.fail(mine, NotFound("x")),
        lambda: leases.retry(mine, Unavailable("x")),
    ):
        with pytest.raises(LeaseLost):
            write()
    published: list[bool] = []
    with pytest.raises(LeaseLost):
        leases.finish(mine, lambda _: published.append(True) or {})
    assert published == []
    assert leases.recorded_shards("a") == [ZERO]
    leases.finish(theirs, lambda _: {"pack_id": "a"})
    assert Jobs(database).get(mine.id, EVERYTHING).result == {"pack_id": "a"}


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
    assert Jobs(database).get(mine.id, EVERYTHING).state == "running"


def test_handing_back_keeps_the_shards_and_counts_no_death(database: Database) -> None:
    submit(database)
    (mine,) = claim(database)
    Leases(database).record_shards(mine, [ZERO])
    Leases(database).hand_back(mine)
    (again,) = claim(database, "other")
    assert (again.attempt, again.deaths) == (2, 0)
    assert Leases(database).recorded_shards("a") == [ZERO]


def test_a_job_that_kills_its_workers_fails_for_good(database: Database) -> None:
    job = submit(database)
    for _ in range(MAX_DEATHS):
        assert claim(database, lease_seconds=-1)
    assert claim(database) == []
    ended = Jobs(database).get(job.id, EVERYTHING)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "workers died" in ended.error["detail"]
    assert [one["outcome"] for one in ended.attempts] == ["lost"] * MAX_DEATHS + ["failed"]


def test_a_job_that_gets_on_may_lose_any_number_of_workers(database: Database) -> None:
    submit(database)
    for number in range(2 * MAX_DEATHS):
        (mine,) = claim(database, lease_seconds=-1)
        if number % 5 == 4:
            Leases(database).record_shards(mine, [Shard(number, b"x" * 16)])
    assert claim(database)[0].attempt == 2 * MAX_DEATHS + 1


def test_a_job_that_kills_its_workers_lets_others_go_first(database: Database) -> None:
    poison = submit(database)
    for _ in range(SUSPECT_DEATHS + 1):
        assert claim(database, lease_seconds=-1)[0].id == poison.id
    other = submit(database, replace(NEW, key="extract:b"))
    assert [claim(database)[0].id for _ in range(2)] == [other.id, poison.id]


def test_a_passing_fault_is_tried_again_after_growing_pauses(database: Database) -> None:
    jobs, leases = Jobs(database), Leases(database)
    submit(database)
    for failures in range(1, 4):
        (mine,) = claim(database)
        began = time.time()
        leases.retry(mine, Unavailable("the disk is full", remedy="make space"))
        job = jobs.get(mine.id, EVERYTHING)
        assert (job.state, job.failures) == ("queued", failures)
        assert job.next_try == pytest.approx(began + pause_after(failures), abs=0.5)
        assert claim(database) == [], "it pauses"
        make_due(database)
    (mine,) = claim(database)
    leases.record_shards(mine, [ZERO])
    assert jobs.get(mine.id, EVERYTHING).failures == 0, "it gets on, so the pauses begin anew"
    leases.finish(mine, lambda _: {})
    ended = jobs.get(mine.id, EVERYTHING)
    assert ended.state == "succeeded"
    assert [one["outcome"] for one in ended.attempts] == ["retrying"] * 3 + ["succeeded"]
    assert ended.attempts[0]["error"]["detail"] == "the disk is full"
    assert ended.attempts[0]["began"] <= ended.attempts[0]["ended"] <= ended.attempts[1]["began"]
    assert ended.next_try is None


def test_a_fault_that_does_not_pass_fails_the_job_in_the_end(database: Database) -> None:
    job = submit(database)
    for _ in range(MAX_FAILURES + 1):
        (mine,) = claim(database)
        Leases(database).retry(mine, Unavailable("no disk"))
        make_due(database)
    assert claim(database) == []
    ended = Jobs(database).get(job.id, EVERYTHING)
    assert ended.error is not None
    assert (ended.state, ended.error["detail"]) == ("failed", "no disk")


def test_whoever_submits_again_ends_the_pause(database: Database) -> None:
    job = submit(database)
    for _ in range(8):
        (mine,) = claim(database)
        Leases(database).retry(mine, Unavailable("no disk"))
        assert submit(database).id == job.id


def test_a_job_that_is_to_be_cancelled_is_not_tried_again(database: Database) -> None:
    job = submit(database)
    (mine,) = claim(database)
    Jobs(database).cancel(job.id)
    Leases(database).retry(mine, Unavailable("no disk"))
    assert Jobs(database).get(job.id, EVERYTHING).state == "cancelled"


def test_the_pauses_grow_and_end_growing() -> None:
    assert [pause_after(n) for n in (1, 2, 3, 9, 10, 20)] == [1, 2, 4, 256, 300, 300]


def test_a_cancelled_jobs_shards_are_there_for_the_next_one(database: Database) -> None:
    job = submit(database)
    (mine,) = claim(database)
    Leases(database).record_shards(mine, [ZERO, Shard(1, b"1" * 16)])
    Leases(database).record_shards(mine, [Shard(1, b"2" * 16, copied=1)])
    Jobs(database).cancel(job.id)
    Leases(database).end_cancelled(mine)
    assert submit(database).id != job.id
    (again,) = claim(database)
    assert Leases(database).recorded_shards("a") == [ZERO, Shard(1, b"2" * 16, copied=1)]
    Leases(database).finish(again, lambda _: {})
    assert Leases(database).recorded_shards("a") == []


def test_a_job_is_cancelled_when_its_last_submitter_withdraws(database: Database) -> None:
    jobs = Jobs(database)
    job = submit(database, replace(NEW, submitter="ann", priority=3))
    submit(database, replace(NEW, submitter="ann", priority=1))
    submit(database, replace(NEW, submitter="bob", priority=7))
    unnamed = submit(database)
    assert list(unnamed.submitters)[:2] == ["ann", "bob"]
    assert (len(unnamed.submitters), unnamed.priority) == (3, 7)
    with pytest.raises(Conflict, match=r"'eve' is not among those who want job .*: ann, bob"):
        jobs.cancel(job.id, "eve")
    left = jobs.cancel(job.id, "bob")
    assert (left.state, left.priority, len(left.submitters)) == ("queued", 3, 2)
    assert jobs.cancel(job.id).submitters == {"ann": 3}
    with pytest.raises(Conflict, match="nobody without a name"):
        jobs.cancel(job.id)
    ended = jobs.cancel(job.id, "ann")
    assert (ended.state, ended.submitters) == ("cancelled", {})
    assert jobs.cancel(job.id, "ann").state == "cancelled", "asked again, it stays so"


def test_broken_images_fail_a_job_only_if_all_who_want_it_say_so(database: Database) -> None:
    strict = replace(NEW, spec={"on_error": "fail"}, together="f")
    mild = replace(NEW, spec={"on_error": "mask"}, together="m")
    submit(database, strict)
    assert submit(database, strict).spec["on_error"] == "fail"
    joined = submit(database, mild)
    assert (joined.spec["on_error"], joined.together) == ("mask", "m")
    assert submit(database, strict).spec["on_error"] == "mask"


def test_unnamed_submitters_count_one_by_one(database: Database) -> None:
    jobs = Jobs(database)
    job = submit(database)
    submit(database)
    claim(database)
    assert not jobs.cancel(job.id).cancelling
    assert jobs.cancel(job.id).cancelling


def test_a_forced_cancel_asks_nobody(database: Database) -> None:
    for name in ("ann", "bob"):
        job = submit(database, replace(NEW, submitter=name))
    assert Jobs(database).cancel(job.id, force=True).state == "cancelled"


def test_a_program_that_submits_in_a_loop_does_not_fill_the_database(database: Database) -> None:
    for priority in range(MAX_SUBMITTERS + 5):
        job = submit(database, replace(NEW, priority=priority))
    assert len(job.submitters) == MAX_SUBMITTERS + 1
    assert job.priority == MAX_SUBMITTERS + 4


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
    assert jobs.get(running.id, EVERYTHING).state == "cancelled"
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
    assert Jobs(database).get(job.id, EVERYTHING).state == "cancelled"


def test_pages_show_every_job_once_while_more_come(database: Database) -> None:
    ids = [submit(database, replace(NEW, key=str(number))).id for number in range(7)]
    page = Jobs(database).page(EVERYTHING, limit=3)
    seen = [job.id for job in page.items]
    submit(database, replace(NEW, key="late"))
    while page.next_cursor:
        page = Jobs(database).page(EVERYTHING, limit=3, cursor=page.next_cursor)
        seen += [job.id for job in page.items]
    assert seen == ids[::-1]
    with pytest.raises(InvalidRequest, match="not one of ours"):
        Jobs(database).page(EVERYTHING, cursor="bm8=")


def test_migrating_again_changes_nothing(database: Database) -> None:
    submit(database)
    threads = [threading.Thread(target=database.migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Jobs(database).page(EVERYTHING).items) == 1


def test_a_client_that_freezes_in_a_transaction_loses_it(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stopped process does, and with it the lock on its job."""
    monkeypatch.setattr("cache.database.IDLE_SECONDS", 1)
    frozen = Database(postgres)

    def freeze() -> None:
        with frozen.write() as connection:
            connection.execute(sa.select(1))
            time.sleep(1.5)
            connection.execute(sa.select(1))

    with pytest.raises(Unavailable):
        freeze()
    with frozen.read() as connection:
        assert connection.execute(sa.select(1)).scalar_one() == 1
    frozen.close()


def test_a_server_that_freezes_is_not_waited_for_for_ever(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.patience.PatientConnection.patience", 0.5)
    opened = Database(postgres)
    with pytest.raises(Unavailable, match="no answer within"), opened.read() as connection:
        connection.execute(sa.select(sa.func.pg_sleep(60)))
    with opened.read() as connection:
        assert connection.execute(sa.select(1)).scalar_one() == 1
    opened.close()
