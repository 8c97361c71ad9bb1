"""A pack's file as a response: whole or by range, and not evicted while it is being sent."""

from __future__ import annotations

from contextlib import ExitStack

from anyio import create_task_group
from anyio.to_thread import run_sync
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from cache.errors import NotFound
from cache.rows import PackRow
from cache.store import Store


class PackFileResponse(FileResponse):
    """Sends the file through a handle of its own, so deleting the pack does not cut it short.

    The handle is open, and its lock held, until the last byte is sent or the client is gone.
    """

    def __init__(self, store: Store, row: PackRow) -> None:
        super().__init__(
            store.pack(row.pack_id),
            media_type="application/x-hdf5",
            filename=f"{row.network}_{row.dataset}_{row.pack_id}.h5",
            headers={"ETag": f'"{row.etag}"'},
        )
        self._store = store
        self._pack_id = row.pack_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as held:
            handle = await run_sync(self._open, held)
            self.path = f"/proc/self/fd/{handle}"
            await self._send_while_connected(scope, receive, send)

    def _open(self, held: ExitStack) -> int:
        try:
            return held.enter_context(self._store.reading(self._pack_id))
        except FileNotFoundError as error:
            raise NotFound(
                f"pack {self._pack_id} was deleted just now",
                value=self._pack_id,
                remedy="submit the pair again",
            ) from error

    async def _send_while_connected(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without the watch, the file would be read to its end for a client that has left."""
        failure: list[Exception] = []

        async def send_file() -> None:
            try:
                await super(PackFileResponse, self).__call__(scope, receive, send)
            except Exception as error:  # a task group would wrap it
                failure.append(error)
            group.cancel_scope.cancel()

        async with create_task_group() as group:
            group.start_soon(send_file)
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()
        if failure:
            raise failure[0]
