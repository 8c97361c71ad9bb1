"""Many clients at once: ``python -m bench.serving.load SPEC``; its answer is one line of JSON.

Each client is a process with one connection, so that none waits for another, and reads into a
small buffer that it uses again, so that the clients cost as little as they can. Only the standard
library is imported: a start takes a tenth of a second. SPEC is JSON:

    {"host": …, "port": …, "clients": 8, "seconds": 2.0, "seed": 0,
     "asks": [{"name", "weight", "method", "path", "headers", "body", "bytes", "head"}]}

A client draws what it asks next by ``weight``, and asks when the last answer is complete. An answer
must have so many ``bytes``, unless they are null, and begin with ``head`` (hex). A 429 is asked
again after a pause; the wait counts as part of the request.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from multiprocessing.connection import Connection
from typing import Any

START_SECONDS = 0.2
ANSWER_SECONDS = 60.0
BUFFER_BYTES = 1 << 20
LONGEST_PAUSE = 1.0
TOO_MANY_REQUESTS = 429
ERRORS_KEPT = 5


class WrongAnswer(Exception):
    """Another status, another size or other bytes."""


def main() -> None:
    spec = json.loads(sys.argv[1])
    context = multiprocessing.get_context("fork")
    begin = time.monotonic() + START_SECONDS
    pipes = []
    for number in range(spec["clients"]):
        receiver, sender = context.Pipe(duplex=False)
        context.Process(target=client, args=(spec, number, begin, sender), daemon=True).start()
        sender.close()
        pipes.append(receiver)
    print(json.dumps(merged(begin, [pipe.recv() for pipe in pipes])), flush=True)


def merged(begin: float, told: list[dict[str, Any]]) -> dict[str, Any]:
    """What all clients tell as one."""
    names = told[0]["seconds"]
    return {
        "seconds": {name: [s for one in told for s in one["seconds"][name]] for name in names},
        "bytes": sum(one["bytes"] for one in told),
        "refused": sum(one["refused"] for one in told),
        "error_count": sum(len(one["errors"]) for one in told),
        "errors": [error for one in told for error in one["errors"]][:ERRORS_KEPT],
        "elapsed": max(one["ended"] for one in told) - begin,
    }


def client(spec: dict[str, Any], number: int, begin: float, answers: Connection) -> None:
    """One client, until its seconds are over and its last answer is complete."""
    asks, weights = spec["asks"], [ask["weight"] for ask in spec["asks"]]
    drawn = random.Random(f"{spec['seed']} {number}")
    told: dict[str, Any] = {
        "seconds": {ask["name"]: [] for ask in asks},
        "bytes": 0,
        "refused": 0,
        "errors": [],
    }
    buffer = memoryview(bytearray(BUFFER_BYTES))
    connection = HTTPConnection(spec["host"], spec["port"], timeout=ANSWER_SECONDS)
    time.sleep(max(0.0, begin - time.monotonic()))
    while time.monotonic() < begin + spec["seconds"]:
        (ask,) = drawn.choices(asks, weights)
        asked = time.monotonic()
        try:
            told["refused"] += answered(connection, ask, buffer)
        except (OSError, HTTPException, WrongAnswer) as error:
            told["errors"].append(f"{ask['name']}: {error!r}")
            connection.close()
            time.sleep(0.05)
            continue
        told["seconds"][ask["name"]].append(time.monotonic() - asked)
        told["bytes"] += ask["bytes"] or 0
    answers.send(told | {"ended": time.monotonic()})


def answered(connection: HTTPConnection, ask: dict[str, Any], buffer: memoryview) -> int:
    """Ask until there is an answer other than 429; how often it was that."""
    refused = 0
    while True:
        connection.request(ask["method"], ask["path"], body=ask["body"], headers=ask["headers"])
        response = connection.getresponse()
        if response.status != TOO_MANY_REQUESTS:
            receive(response, ask, buffer)
            return refused
        response.read()
        refused += 1
        asked = response.headers.get("Retry-After", "")
        time.sleep(random.uniform(0.5, 1.0) * min(float(asked or 0.1), LONGEST_PAUSE))


def receive(response: HTTPResponse, ask: dict[str, Any], buffer: memoryview) -> None:
    """Read the whole answer. Raises WrongAnswer."""
    if response.status != 200:
        raise WrongAnswer(f"{response.status} {response.read()[:200]!r}")
    size = response.readinto(buffer)
    head = bytes.fromhex(ask["head"])
    if bytes(buffer[: len(head)]) != head:
        response.read()
        raise WrongAnswer("other bytes")
    while piece := response.readinto(buffer):
        size += piece
    if ask["bytes"] not in (None, size):
        raise WrongAnswer(f"{size} bytes in place of {ask['bytes']}")


if __name__ == "__main__":
    main()
