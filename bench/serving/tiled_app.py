"""A pack's features by tiled: ``python -m bench.serving.tiled_app PORT PACK OFFSET ROWS WIDTH``.

The array is mapped from the file, as ours is, so that tiled need not go through HDF5.
"""

from __future__ import annotations

import sys

import numpy as np
import uvicorn
from tiled.adapters.array import ArrayAdapter  # type: ignore[import-not-found]
from tiled.adapters.mapping import MapAdapter  # type: ignore[import-not-found]
from tiled.config import Authentication  # type: ignore[import-not-found]
from tiled.server.app import build_app  # type: ignore[import-not-found]

LARGEST_ANSWER = 1 << 40


def main() -> None:
    port, offset, rows, width = map(int, (sys.argv[1], *sys.argv[3:]))
    features_ND = np.memmap(sys.argv[2], "<f4", "r", offset, (rows, width))
    tree = MapAdapter({"features": ArrayAdapter.from_array(features_ND)})
    app = build_app(
        tree,
        authentication=Authentication(allow_anonymous_access=True),
        server_settings={"response_bytesize_limit": LARGEST_ANSWER},
    )
    app.get("/ready")(lambda: None)
    uvicorn.run(app, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
