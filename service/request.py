"""What every JSON body has in common. Unknown fields are mistakes, not ignored."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, values: Any) -> Any:
        """JSON can spell half of a surrogate pair, which no database or file can hold."""
        try:
            json.dumps(values, ensure_ascii=False, default=repr).encode()
        except UnicodeEncodeError as error:
            raise ValueError("text with a lone surrogate is not Unicode") from error
        return values
