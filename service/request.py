"""What every JSON body has in common. Unknown fields are mistakes, not ignored."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, model_validator

MAX_FIELDS: Final = 100


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_sane(cls, values: Any) -> Any:
        """JSON can spell half of a surrogate pair, which no database or file can hold.

        Each unknown field is an error of its own, so of too many there is one alone.
        """
        if isinstance(values, dict) and len(values) > MAX_FIELDS:
            raise ValueError(f"an object has more than {MAX_FIELDS} fields")
        try:
            json.dumps(values, ensure_ascii=False, default=repr).encode()
        except UnicodeEncodeError as error:
            raise ValueError("text with a lone surrogate is not Unicode") from error
        except RecursionError as error:
            raise ValueError("lists or objects are nested too deep") from error
        return values


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a body that a route reads by itself, for its ``openapi_extra``.

    References are replaced by what they name: within an OpenAPI document they would lead nowhere.
    """
    schema = model.model_json_schema()
    named = schema.pop("$defs", {})

    def whole(node: Any) -> Any:
        if isinstance(node, list):
            return [whole(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return whole(named[node["$ref"].removeprefix("#/$defs/")])
        return {key: whole(each) for key, each in node.items() if key != "discriminator"}

    return dict(whole(schema))
