"""``python -m service.openapi``: what can be called, as OpenAPI, without a running service.

The dashboard's types are generated from it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from cache.store import Store
from service.app import create_app
from service.settings import ServiceSettings


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), None)
        app = create_app(ServiceSettings(store=store, database_url=store.database_url))
        json.dump(app.openapi(), sys.stdout, indent=1, sort_keys=True)
        app.state.featurepack.database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
