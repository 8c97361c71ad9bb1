"""Whose turn it is, on both databases; and real workers between two teams."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cache.database import Database
from cache.errors import NotFound
from cache.job import Job, NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.shares import LEAD_SECONDS, PATIENCE_SECONDS, WINDOW_SECONDS
from cache.sight import EVERYTHING, SHARED, Owner
from cache.store import Store
from cache.tables import jobs as jobs_table
from cache.tables import ledger
from tests.pictures import write_image_folder
from tests.working import recipe_of, register, working
from tests.working import submit as submit_packs
from worker import lease as worker_lease
from worker.loop import step
from worker.tasks import EXTRACTION


def ask(database: Database, team: str | None, key: str, **changes: Any) -> Job:
    new = NewJob("extract", key, {"pack_id": key}, Owner(SHARED, team), submitter=team)
    return Jobs(database).enqueue(replace(new, **changes))


def claim(database: Database, worker: str = "w", lease_seconds: float = 30) -> list[Job]:
    return Leases(database).claim(worker, ["extract"], lease_seconds)


def keys(found: Iterable[Job]) -> list[str]:
    return [job.key for job in found]


def worked(
    database: Database, team: str, seconds: float, ago: float = 0.0, kind: str = "extract"
) -> None:
    """A team had a worker for so long, until so long ago."""
    with database.write() as connection:
        now = connection.execute(sa.select(database.now)).scalar_one() - ago
        row = {"began": now - seconds, "ended": now, "seconds": seconds, "kind": kind}
        counts = {"rows_computed": 0, "rows_copied": 0, "seconds_saved": 0.0}
        about = {"job_id": f"{team}{now}", "attempt": 1, "team": team, "device": "cpu"}
        connection.execute(sa.insert(ledger).values(about | row | counts))


def entries(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(ledger).order_by(ledger.c.attempt)).all())


def test_a_flood_of_one_team_does_not_delay_another(database: Database) -> None:
    for number in range(30):
        ask(database, "flood", f"f{number}", priority=100)
    ask(database, "other", "mine", priority=-100)
    assert keys(claim(database)) == ["f0"]
    assert keys(claim(database)) == ["mine"]
    assert keys(claim(database)) == ["f1"]


def test_teams_take_turns_by_what_they_used(database: Database) -> None:
    worked(database, "heavy", 50)
    worked(database, "light", 20)
    for number in range(2):
        ask(database, "heavy", f"h{number}", priority=9)
        ask(database, "light", f"l{number}")
    ask(database, None, "nobody's")
    claimed = [claim(database)[0] for _ in range(5)]
    assert keys(claimed) == ["nobody's", "l0", "l1", "h0", "h1"]


def test_what_was_used_is_forgotten_after_an_hour_and_other_lanes_do_not_count(
    database: Database,
) -> None:
    worked(database, "early", 500, ago=WINDOW_SECONDS + 1)
    worked(database, "partly", 500, ago=WINDOW_SECONDS - 100)  # 100 s lie within the hour
    worked(database, "elsewhere", 500, kind="ingest")
    worked(database, "lately", 200)
    for team in ("lately", "partly", "early"):
        ask(database, team, team)
    ask(database, "elsewhere", "elsewhere")
    assert keys(claim(database)[0] for _ in range(4)) == ["early", "elsewhere", "partly", "lately"]


def test_within_a_team_priority_then_age_decide(database: Database) -> None:
    for key, priority in (("a", 0), ("b", 5), ("c", 0)):
        ask(database, "one", key, priority=priority)
    assert keys(claim(database)[0] for _ in range(3)) == ["b", "a", "c"]


def test_two_who_want_a_job_wait_no_longer_than_either_alone(database: Database) -> None:
    worked(database, "heavy", 100)
    worked(database, "middle", 50)
    ask(database, "heavy", "joined")
    ask(database, "middle", "middle's")
    ask(database, "light", "joined")
    (joined,) = claim(database)
    assert joined.key == "joined"
    Leases(database).finish(joined, lambda _: {})
    assert entries(database)[-1].team == "light"


def test_a_heavy_team_that_joins_does_not_hold_a_light_one_up(database: Database) -> None:
    worked(database, "heavy", 100)
    worked(database, "middle", 50)
    ask(database, "light", "joined")
    ask(database, "heavy", "joined")
    ask(database, "middle", "middle's")
    assert keys(claim(database)) == ["joined"]


def test_a_team_that_withdrew_does_not_pay(database: Database) -> None:
    worked(database, "heavy", 100)
    worked(database, "middle", 50)
    job = ask(database, "heavy", "joined")
    ask(database, "light", "joined")
    ask(database, "middle", "middle's")
    Jobs(database).cancel(job.id, "light")
    assert keys(claim(database)) == ["middle's"]


def test_jobs_of_other_teams_are_not_taken_along(database: Database) -> None:
    for key, team in (("a", "one"), ("b", "two"), ("c", "one")):
        ask(database, team, key, together="same")
    taken = claim(database)
    assert keys(taken) == ["a", "c"]
    assert keys(claim(database)) == ["b"]
    time.sleep(0.05)
    for job in taken:
        Leases(database).hand_back(job)
    seconds = [row.seconds for row in entries(database)]
    assert sum(seconds) == pytest.approx(
        entries(database)[0].ended - entries(database)[0].began, rel=0.5
    )


def test_every_end_of_an_attempt_is_in_the_ledger(database: Database) -> None:
    leases, job = Leases(database), ask(database, "one", "a")
    claim(database, lease_seconds=0.05)
    time.sleep(0.1)
    (second,) = claim(database)
    leases.progress(second, {"rows_computed": 5, "rows_copied": 2})
    leases.hand_back(second)
    (third,) = claim(database)
    leases.progress(third, {"rows_computed": 8, "rows_copied": 2})
    leases.fail(third, NotFound("x"))
    lost, handed, failed = entries(database)
    assert {row.team for row in (lost, handed, failed)} == {"one"}
    assert {row.job_id for row in (lost, handed, failed)} == {job.id}
    assert 0.04 < lost.seconds < 0.06  # until its lease ended, not until that was noticed
    assert (handed.rows_computed, handed.rows_copied) == (5, 2)
    assert (failed.rows_computed, failed.rows_copied) == (3, 0)


def test_a_job_that_ran_long_makes_room_for_a_team_that_used_little(database: Database) -> None:
    leases = Leases(database)
    ask(database, "long", "a")
    (job,) = claim(database, lease_seconds=1000)
    ask(database, "long", "b")
    ask(database, "other", "c")

    def shift(key: str, **back: float) -> None:
        with database.write() as connection:
            values = {name: jobs_table.c[name] - seconds for name, seconds in back.items()}
            connection.execute(sa.update(jobs_table).where(jobs_table.c.key == key).values(values))

    shift("a", claimed=LEAD_SECONDS - 5)
    shift("b", due=PATIENCE_SECONDS + 1)
    shift("c", due=PATIENCE_SECONDS + 1)
    assert not leases.should_yield(job)
    shift("a", claimed=10)
    assert leases.should_yield(job)
    worked(database, "other", 30)  # it is no longer so far behind
    assert not leases.should_yield(job)


def test_a_worker_hands_a_long_job_back_at_a_shards_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_lease, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(worker_lease, "PROGRESS_SECONDS", 0.0)  # the ledger has what was told
    assert store.data_root is not None
    write_image_folder(store.data_root / "set", {"train": {"a": 40, "b": 40}})
    manifest = register(store, store.data_root / "set")
    with working(store) as context:
        (job,) = submit_packs(context, manifest, [recipe_of()])
        monkeypatch.setattr(Leases, "should_yield", lambda *_: True)
        assert step(context, EXTRACTION)
        waiting = Jobs(context.database).get(job.id, EVERYTHING)
        assert (waiting.state, waiting.attempts[-1]["outcome"]) == ("queued", "handed back")
        monkeypatch.setattr(Leases, "should_yield", lambda *_: False)
        assert step(context, EXTRACTION)
        ended = Jobs(context.database).get(job.id, EVERYTHING)
        assert ended.state == "succeeded"
        before, after = entries(context.database)
        assert before.rows_computed + after.rows_computed == len(manifest)
        assert before.rows_computed > 0
