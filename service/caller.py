"""Who asks, and what that one may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

from fastapi import Depends, Request

from cache.errors import Forbidden, InvalidRequest, Unauthorised
from cache.job import Job
from cache.keys import SCOPES, KeyScope
from cache.rows import StudyRow
from cache.sight import SHARED, Owner, Sight

PLACE: Final = "featurepack.caller"
"""Of the caller in an ASGI scope."""


@dataclass(frozen=True)
class Caller:
    """A team's key, or one of the two without a team: the operator's admin key and open access.

    ``key_id`` is None where no key is needed.
    """

    team: str | None
    scope: KeyScope
    key_id: str | None

    @cached_property
    def sight(self) -> Sight:
        """What this one may see."""
        return Sight(self.team or SHARED, everywhere=self.scope == "admin")

    def may(self, scope: KeyScope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def owner(self, *, private: bool) -> Owner:
        """Of what this one makes. Raises InvalidRequest: private, but to no team."""
        if not private:
            return Owner(SHARED, self.team)
        if self.team is None:
            raise InvalidRequest(
                "private needs a team, and this caller has none",
                value=True,
                remedy="ask with a team's key (featurepack keys create --team NAME), or leave out "
                "private",
            )
        return Owner(self.team, self.team)

    def within(self, space: str) -> Owner:
        """Of what this one makes of a thing that lies in ``space``."""
        return Owner(space, self.team)

    def own(self, space: str = SHARED) -> Owner:
        """Of what is nobody else's business: answers about images that one sends.

        What comes of a thing in a team's ``space`` stays there.
        """
        return Owner(space or self.team or SHARED, self.team)

    def owns(self, team: str | None) -> bool:
        """Whether a thing of this team may be changed; one of no team is for admins alone."""
        return self.scope == "admin" or (team is not None and team == self.team)

    def must_own(self, team: str | None, what: str) -> None:
        """Raises Forbidden for a thing of another team; ``what`` names it."""
        if not self.owns(team):
            raise Forbidden(
                f"{what} belongs to {f'team {team}' if team else 'no team'}",
                value=team,
                remedy="ask that team, or an admin" if team else "ask an admin",
            )

    def must_want(self, what: Job | StudyRow, named: str, *, force: bool) -> None:
        """Raises Forbidden for what neither belongs to one's team nor is wanted by it.

        With ``force``, for what does not belong to it.
        """
        if force or not self._wants(what.submitters):
            self.must_own(what.team, named)

    def submitter(self, name: str | None) -> str | None:
        """Under which name this one wants a job: with a team, its names cannot be another's."""
        if self.team is None:
            return name
        return f"{self.team}/{name}" if name else self.team

    def _wants(self, submitters: Mapping[str, int]) -> bool:
        return any(name == self.team or name.startswith(f"{self.team}/") for name in submitters)


OPEN: Final = Caller(None, "admin", None)
"""Everybody, where no key is needed."""


def caller_of(request: Request) -> Caller:
    """Whom the entrance let in. Raises Unauthorised on a path that lets in anybody."""
    caller = request.scope.get(PLACE)
    if caller is None:
        raise Unauthorised("no key was shown", remedy="send Authorization: Bearer KEY")
    assert isinstance(caller, Caller)
    return caller


async def _caller(request: Request) -> Caller:  # async: it needs no thread
    return caller_of(request)


Asking = Annotated[Caller, Depends(_caller)]
"""A route's parameter of this type is who asks."""
