"""``/v1/teams``: what teams may, what they use of it, what was done and saved for them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from cache.errors import NotFound
from cache.keys import TEAM_NAME
from cache.teams import Day, Limits
from service import request as incoming
from service.answers import Listing
from service.caller import Asking, Caller
from service.state import Kept, State

router = APIRouter(prefix="/v1/teams", tags=["teams"])

EPOCH: Final = date(1970, 1, 1)
MOST_DAYS: Final = 366

Team = Annotated[str, Path(pattern=rf"^{TEAM_NAME}$")]
Days = Annotated[int, Query(ge=1, le=MOST_DAYS, description="so many days, today among them")]
Whole = Annotated[int, Field(ge=0, lt=2**62)]
Rate = Annotated[float, Field(gt=0, le=1e9)]


class LimitsRequest(incoming.Request):
    """What a team may; null or left out: the service's default."""

    stored_bytes: Whole | None = Field(None, description="of packs and of images of datasets")
    queued_jobs: Whole | None = None
    upload_bytes: Whole | None = Field(None, description="of one upload")
    requests_per_second: Rate | None = None
    heads_per_minute: Rate | None = None


class LimitsAnswer(BaseModel):
    """What holds; null is no limit."""

    stored_bytes: int | None
    queued_jobs: int | None
    upload_bytes: int | None
    requests_per_second: float | None
    heads_per_minute: float | None


class UseAnswer(BaseModel):
    """What a team has of what is limited; ``heads`` are those asked for in the last minute."""

    stored_bytes: int
    queued_jobs: int
    heads: int


class DayAnswer(BaseModel):
    """One day (UTC). ``device_seconds`` are those for which workers held the team's jobs, times
    their devices; ``gpu_seconds`` are those of them on GPUs."""

    day: date
    jobs: int
    device_seconds: float
    gpu_seconds: float
    rows_computed: int
    rows_copied: int
    hits: int
    seconds_saved_by_hits: float
    seconds_saved_by_copies: float

    @classmethod
    def of(cls, day: Day) -> DayAnswer:
        return cls(
            day=EPOCH + timedelta(days=day.day),
            jobs=day.jobs,
            device_seconds=round(day.device_seconds, 3),
            gpu_seconds=round(day.gpu_seconds, 3),
            rows_computed=day.rows_computed,
            rows_copied=day.rows_copied,
            hits=day.hits,
            seconds_saved_by_hits=round(day.saved_by_hits, 3),
            seconds_saved_by_copies=round(day.saved_by_copies, 3),
        )


class TeamAnswer(BaseModel):
    """A team. ``own_limits`` are those set for it; where they are null, the default holds."""

    object: Literal["team"] = "team"
    team: str
    limits: LimitsAnswer
    own_limits: LimitsAnswer
    use: UseAnswer
    days: list[DayAnswer] = Field(description="days on which something was done, newest first")


@router.get("")
def list_teams(kept: Kept, caller: Asking, days: Days = 30) -> Listing[TeamAnswer]:
    """All teams for an admin, else one's own."""
    return Listing(items=[_answer(kept, team, days) for team in _seen(kept, caller)])


@router.get("/{team}")
def get_team(team: Team, kept: Kept, caller: Asking, days: Days = 30) -> TeamAnswer:
    """A team's limits, use and ledger; others than one's own are for admins."""
    if team not in _seen(kept, caller):
        raise NotFound(
            f"no team {team!r}", value=team, remedy="GET /v1/teams lists the teams that you may see"
        )
    return _answer(kept, team, days)


@router.put("/{team}")
def limit_team(team: Team, wanted: LimitsRequest, kept: Kept) -> TeamAnswer:
    """Set all limits of a team, of one that has no key yet, too."""
    kept.teams.limit(team, Limits(**wanted.model_dump()))
    kept.allowances.forget(team)
    return _answer(kept, team, 30)


def _seen(kept: State, caller: Caller) -> list[str]:
    if caller.scope == "admin":
        return kept.teams.names()
    return [] if caller.team is None else [caller.team]


def _answer(kept: State, team: str, days: int) -> TeamAnswer:
    own = kept.teams.own_limits(team)
    return TeamAnswer(
        team=team,
        limits=LimitsAnswer(**vars(own.over(kept.teams.defaults))),
        own_limits=LimitsAnswer(**vars(own)),
        use=UseAnswer(**vars(kept.teams.use(team))),
        days=[DayAnswer.of(day) for day in kept.teams.days(team, days)],
    )
