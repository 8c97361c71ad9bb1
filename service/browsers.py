"""What browsers may do with the service: safe headers on every answer, and known names only.

The headers say that an answer is what its type says, is shown in no frame, is loaded by no other
site's page, and runs nothing; the pages that do run something bring a policy of their own.

The names stand against DNS rebinding: a page anywhere can have its own name point at 127.0.0.1 and
then reads and writes, as its own origin, what listens there. The browser still says that name in
``Host``.

OWASP Secure Headers Project; RFC 6797 (HSTS); Jackson et al., "Protecting Browsers from DNS
Rebinding Attacks", CCS 2007.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cache.errors import Forbidden
from service.problems import problem

POLICY_HEADER: Final = b"content-security-policy"

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
POLICY: Final = (POLICY_HEADER, b"default-src 'none'; frame-ancestors 'none'; sandbox")
"""Of whatever is no page: opened by itself, it does nothing."""

ONLY_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")
"""Told where the browser came by HTTPS, which a proxy says by ``X-Forwarded-Proto``."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def hosts_for(listening: str) -> tuple[str, ...]:
    """The names to be asked under where nobody set any: on loopback its own, elsewhere all."""
    try:
        local = listening == "localhost" or ipaddress.ip_address(listening).is_loopback
    except ValueError:
        return ()
    return (*LOOPBACK, listening) if local else ()


class Browsers:
    """ASGI. ``hosts`` are the names under which the service may be asked; empty: any."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        https = scope["scheme"] == "https"

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *HEADERS]
                if not any(name == POLICY_HEADER for name, _ in message["headers"]):
                    headers.append(POLICY)
                if https:
                    headers.append(ONLY_HTTPS)
                message["headers"] = headers
            await send(message)

        if self.hosts and (host := host_of(scope)) and host not in self.hosts:
            error = Forbidden(
                f"this service is not called {host!r}",
                value=host,
                remedy="use its own name; the operator names others in FEATUREPACK_HOSTS",
            )
            await problem(error, Request(scope))(scope, receive, safely)
            return
        await self.app(scope, receive, safely)


def host_of(scope: Scope) -> str:
    """The name in ``Host`` without the port, in lower case; empty where nobody said one.

    Every browser says one, so what does not is none.
    """
    host = str(b",".join(value for name, value in scope["headers"] if name == b"host"), "latin-1")
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
