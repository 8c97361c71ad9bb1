"""Jobs on the page: failed in words, tried again, cancelled."""

from __future__ import annotations

from cache.database import Database
from cache.errors import CorruptData
from cache.job import NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.sight import UNOWNED
from cache.store import Store
from tests.browser.looking import Looking


def test_a_failed_job_says_why_and_is_tried_again_and_cancelled(
    looking: Looking, store: Store
) -> None:
    page = looking.page
    database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
    jobs, leases = Jobs(database), Leases(database)
    looking.open("/jobs", "Jobs")
    looking.sees("No job has run yet")
    try:
        jobs.enqueue(NewJob("verify", "verify:x:0", {"pack_id": "x", "rows": None}, UNOWNED))
        page.get_by_text("Waits for a worker").wait_for()
        (job,) = leases.claim("w", ["verify"], 30)
        leases.progress(job, {"phase": "hashing", "rows_done": 10, "rows_total": 40})
        page.get_by_text("10 of 40 rows").wait_for()
        leases.fail(job, CorruptData("the file lost a byte", value="x", remedy="build it again"))
        page.get_by_role("table", name="Jobs that have ended").wait_for()
        looking.picture("failed")
        looking.follow("Verify a pack")
        alert = page.get_by_role("alert")
        alert.wait_for()
        assert "The file lost a byte. Build it again." in alert.inner_text()
        page.get_by_role("table", name="Attempts").get_by_text("the file lost a byte").wait_for()
        looking.picture("why")
        looking.press("Try again")
        page.get_by_text("Waits for a worker").wait_for()
        looking.press("Cancel")
        page.get_by_text("cancelled").first.wait_for()
        looking.picture("cancelled")
    finally:
        database.close()
