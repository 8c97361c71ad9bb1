"""``python -m service``: serve until SIGTERM or SIGINT.

``python -m service migrate`` only brings the database to its newest form, which serving does, too:
where many processes start together, one of them goes first, and a migration that fails stops there.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from cache.errors import FeaturepackError
from cache.logs import log_to_stderr
from cache.opening import open_database
from service.allocator import one_heap
from service.app import create_app
from service.browsers import hosts_for
from service.connections import bounded, connection_limit
from service.news import Newsroom
from service.settings import ServiceSettings

SWITCH_SECONDS = 0.001
"""So long a thread may keep the interpreter when the event loop wants it. With Python's own 5 ms,
two threads that compute delay a small answer by 20 ms; they do as much work with this."""

GRACE_SECONDS = 5
"""How long open requests may go on after SIGTERM."""


class _Server(uvicorn.Server):
    """Ends well on SIGTERM and SIGINT; uvicorn's own would raise the signal again at the end.

    ``news`` has listeners whose answers end with the service and no sooner.
    """

    def __init__(self, config: uvicorn.Config, news: Newsroom) -> None:
        super().__init__(config)
        self._news = news

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: it would wait for them."""
        self._news.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def _listening(config: uvicorn.Config, stall_seconds: int) -> socket.socket:
    """The server's socket. What it is told here holds for the connections that it accepts.

    The system ends a connection whose other side takes nothing for so long, or has vanished, and
    throws away what was not sent. Only the system sees that: a server that waits until its buffer
    is empty cannot tell a client that reads little from one that reads nothing.
    """
    listening = config.bind_socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_seconds * 1000)
    return listening


def main() -> int:
    parser = argparse.ArgumentParser(prog="service")
    parser.add_argument("task", nargs="?", choices=("serve", "migrate"), default="serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    one_heap()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = ServiceSettings.from_env()
        hosts = settings.hosts or hosts_for(arguments.host)
        settings = replace(settings, host=arguments.host, hosts=hosts)
        log_to_stderr(settings.log_format)
        if arguments.task == "migrate":
            open_database(settings.database_url, settings.store).close()
            return 0
        app = create_app(settings)
    except FeaturepackError as error:
        print(f"service: {error.message}. {error.remedy}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        http=bounded(connection_limit()),
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, app.state.featurepack.news)
    server.run(sockets=[_listening(config, settings.stall_seconds)])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
