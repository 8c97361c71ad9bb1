"""How fast a job was at each moment, in a few numbers however long it takes."""

from __future__ import annotations

MOST = 60
FIRST_SECONDS = 1.0


class RateHistory:
    """Rows that were done by so many seconds; the points lie further apart the longer it takes."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = [(0.0, 0)]
        self._step = FIRST_SECONDS

    def note(self, seconds: float, rows: int) -> None:
        """So many rows by now; kept if the last point is long enough ago."""
        if seconds - self._points[-1][0] < self._step:
            return
        self._points.append((seconds, rows))
        if len(self._points) > MOST:
            self._points = self._points[::2]
            self._step *= 2

    def rates(self) -> list[list[float]]:
        """``[seconds, rows per second since the point before]`` of each point."""
        pairs = zip(self._points, self._points[1:], strict=False)
        return [
            [round(seconds, 1), round((rows - before) / (seconds - since), 1)]
            for (since, before), (seconds, rows) in pairs
        ]
