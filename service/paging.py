"""Query parameters that every list takes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=500, description="items on a page")]
DEFAULT_LIMIT = 50
