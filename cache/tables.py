"""The tables. Times are seconds since 1970 by the database's clock; ``Json`` is plain values.

Migrations make them; a test compares the two.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

ACTIVE_STATES: Final = ("queued", "running")

TOLD_BY_INDEX: Final = (
    "state",
    "kind",
    "due",
    "waits_for",
    "payer",
    "joiner",
    "priority",
    "deaths",
    "created",
    "id",
)
"""Of a job, all that decides when it is claimed: ten thousand that wait are not read for it."""

metadata = sa.MetaData()
Json = sa.JSON(none_as_null=True)

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("space", sa.Text, primary_key=True, server_default=""),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("dataset_id", sa.Text, nullable=False, index=True),
    sa.Column("source", Json, nullable=False),
    sa.Column("classes", Json, nullable=False),
    sa.Column("splits", Json, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("team", sa.Text),
)

weights = sa.Table(
    "weights",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("unavailable", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("team", sa.Text),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("together", sa.Text, nullable=False),
    sa.Column("spec", Json, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("progress", Json, nullable=False),
    sa.Column("submitters", Json, nullable=False, server_default="{}"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", Json, nullable=False, server_default="[]"),
    sa.Column("result", Json),
    sa.Column("error", Json),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("finished", sa.Float),
    sa.Column("waits_for", sa.Text, index=True),
    sa.Column("request_id", sa.Text, nullable=False, server_default=""),
    sa.Column("traceparent", sa.Text, nullable=False, server_default=""),
    sa.Column("space", sa.Text, nullable=False, server_default=""),
    sa.Column("team", sa.Text),
    sa.Column("payer", sa.Text, nullable=False, server_default=""),
    sa.Column("joiner", sa.Text),
    sa.Column("claimed", sa.Float),
    sa.Column("share", sa.Float, nullable=False, server_default="1"),
    sa.Index("jobs_turn", *TOLD_BY_INDEX),
    sa.Index("jobs_together", "together", "state"),
    sa.Index("jobs_of_team", "team", "state"),
    sa.Index("jobs_recent", "created", "id"),
    sa.Index("jobs_of_key", "key", "created"),
    sa.Index(
        "jobs_one_active",
        "key",
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    ),
)

shards = sa.Table(
    "shards",
    metadata,
    sa.Column("pack_id", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("copied", sa.Integer, nullable=False),
)

packs = sa.Table(
    "packs",
    metadata,
    sa.Column("pack_id", sa.Text, primary_key=True),
    sa.Column("recipe_id", sa.Text, nullable=False, index=True),
    sa.Column("dataset_id", sa.Text, nullable=False, index=True),
    sa.Column("network", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("imported", sa.Boolean, nullable=False),
    sa.Column("recipe", Json, nullable=False),
    sa.Column("dataset_info", Json, nullable=False),
    sa.Column("classes", Json, nullable=False),
    sa.Column("splits", Json, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("row_shape", Json, nullable=False),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("invalid_rows", Json, nullable=False),
    sa.Column("provenance", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("last_used", sa.Float, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("problem", Json),
    sa.Column("tap", sa.Text),
    sa.Column("words", sa.Text, nullable=False, server_default=""),
    sa.Column("rows_copied", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("row_seconds", sa.Float),
    sa.Column("space", sa.Text, nullable=False, server_default=""),
    sa.Column("team", sa.Text),
    sa.Index("packs_recent", "created", "pack_id"),
)

heads = sa.Table(
    "heads",
    metadata,
    sa.Column("head_id", sa.Text, primary_key=True),
    sa.Column("pack_id", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("recipe", Json),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("accuracy", sa.Float),
    sa.Column("space", sa.Text, nullable=False, server_default=""),
    sa.Column("team", sa.Text),
    sa.Index("heads_recent", "created", "head_id"),
    sa.Index("heads_of_pack", "pack_id", "accuracy"),
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("study_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("cells", Json, nullable=False),
    sa.Column("submitters", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("space", sa.Text, nullable=False, server_default=""),
    sa.Column("team", sa.Text),
    sa.Index("studies_recent", "created", "study_id"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("machine", sa.Text, nullable=False, server_default=""),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("byte_limit", sa.BigInteger),
    sa.Column("lanes", Json, nullable=False, server_default="{}"),
    sa.Column("memory", Json, nullable=False, server_default="[]"),
)

counts = sa.Table(
    "counts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("amount", sa.Float, nullable=False),
)

rates = sa.Table(
    "rates",
    metadata,
    sa.Column("space", sa.Text, primary_key=True, server_default=""),
    sa.Column("machine", sa.Text, primary_key=True),
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("compute", sa.Text, primary_key=True),
    sa.Column("height", sa.Integer, primary_key=True),
    sa.Column("width", sa.Integer, primary_key=True),
    sa.Column("images_per_second", sa.Float, nullable=False),
    sa.Column("measured", sa.Float, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("revoked", sa.Float),
    sa.Column("last_used", sa.Float),
)

teams = sa.Table(
    "teams",
    metadata,
    sa.Column("team", sa.Text, primary_key=True),
    sa.Column("stored_bytes", sa.BigInteger),
    sa.Column("queued_jobs", sa.BigInteger),
    sa.Column("upload_bytes", sa.BigInteger),
    sa.Column("requests_per_second", sa.Float),
    sa.Column("heads_per_minute", sa.Float),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("began", sa.Float, nullable=False),
    sa.Column("ended", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("rows_computed", sa.BigInteger, nullable=False),
    sa.Column("rows_copied", sa.BigInteger, nullable=False),
    sa.Column("seconds_saved", sa.Float, nullable=False),
    sa.Index("ledger_recent", "ended", "kind", "team", "began", "seconds"),
    sa.Index("ledger_of_team", "team", "ended"),
)

hits = sa.Table(
    "hits",
    metadata,
    sa.Column("team", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("seconds_saved", sa.Float, nullable=False),
)

stores = sa.Table(
    "stores",
    metadata,
    sa.Column("store_id", sa.Text, primary_key=True),
)

engines = sa.Table(
    "engines",
    metadata,
    sa.Column("machine", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("about", Json, nullable=False),
    sa.Column("choice", Json, nullable=False),
    sa.Column("measured", sa.Float, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("audit_id", sa.Text, primary_key=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("team", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("named", Json, nullable=False),
    sa.Index("audit_recent", "created", "audit_id"),
)
