"""Teams: what they may, what they use of it, what was done and saved for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict, Unpack

from featurepack.answers import Answer
from featurepack.keys import KeyCalls
from featurepack.transport import segment


class LimitValues(TypedDict, total=False):
    """Limits by name; None is the service's default."""

    stored_bytes: int | None
    queued_jobs: int | None
    upload_bytes: int | None
    requests_per_second: float | None
    heads_per_minute: float | None


@dataclass(frozen=True)
class Limits(Answer):
    """What a team may; None is no limit. ``upload_bytes`` are of one upload."""

    stored_bytes: int | None
    queued_jobs: int | None
    upload_bytes: int | None
    requests_per_second: float | None
    heads_per_minute: float | None


@dataclass(frozen=True)
class Use(Answer):
    """What a team has of what is limited; ``heads`` are those asked for in the last minute."""

    stored_bytes: int
    queued_jobs: int
    heads: int


@dataclass(frozen=True)
class Day(Answer):
    """One day of a team's ledger; ``day`` is ``2026-11-21``, in UTC.

    ``device_seconds`` are those for which workers held the team's jobs, times their devices;
    ``gpu_seconds`` are those of them on GPUs.
    """

    day: str
    jobs: int
    device_seconds: float
    gpu_seconds: float
    rows_computed: int
    rows_copied: int
    hits: int
    seconds_saved_by_hits: float
    seconds_saved_by_copies: float


@dataclass(frozen=True)
class Team(Answer):
    """A team. ``own_limits`` are those set for it; where they are None, the default holds.

    ``days`` are those on which something was done for it, newest first.
    """

    team: str
    limits: Limits
    own_limits: Limits
    use: Use
    days: list[Day]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Raises FeaturepackError if the object lacks a field."""
        parts: dict[str, type[Answer]] = {"limits": Limits, "own_limits": Limits, "use": Use}
        known = {name: part.of(data[name]) for name, part in parts.items() if name in data}
        days = [Day.of(day) for day in data.get("days", ())]
        return super().of({**data, **known, "days": days})


class TeamCalls(KeyCalls):
    """``/v1/teams``."""

    def teams(self) -> list[Team]:
        """All teams for an admin, else one's own, with the last 30 days."""
        return [Team.of(item) for item in self._transport.items("/v1/teams")]

    def team(self, name: str, *, days: int = 30) -> Team:
        """A team's limits, use and ledger of so many days. Raises NotFound."""
        path = f"/v1/teams/{segment(name)}"
        return Team.of(self._transport.json("GET", path, again=True, params={"days": days}))

    def limit_team(self, name: str, **limits: Unpack[LimitValues]) -> Team:
        """Set some of a team's limits, None for the service's default; the others stay.

        Raises:
            Forbidden: one's own key is no admin's.
            InvalidRequest: no name of a team, or no limit.
        """
        now = {team.team: vars(team.own_limits) for team in self.teams()}.get(name, {})
        path = f"/v1/teams/{segment(name)}"
        return Team.of(self._transport.json("PUT", path, again=True, json={**now, **limits}))
