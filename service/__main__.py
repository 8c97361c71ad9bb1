"""``python -m service``: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import sys

import uvicorn

from cache.errors import FeaturepackError
from service.app import create_app
from service.settings import ServiceSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="service")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        app = create_app(ServiceSettings.from_env())
    except FeaturepackError as error:
        print(f"service: {error.message}. {error.remedy}", file=sys.stderr)
        return 2
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
