"""How many cores a head is trained on.

torch's threads wait for each other by spinning, thousands of times in one training. On a machine
that does something else as well they then wait for the scheduler: a head of 1,000 rows took 0.4 to
3 seconds on two cores, and always 0.4 on one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FEW = 50_000_000
"""Rows × values × classes: below, products are too short for several cores to be worth it."""


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """In this thread torch takes one core while the block runs, if there is little to do."""
    usual = torch.get_num_threads()
    if multiplications > FEW or usual == 1:
        yield
        return
    torch.set_num_threads(1)
    _tell_new_threads(usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _tell_new_threads(count: int) -> None:
    """What was set last in any thread holds for the ones that begin after it."""
    thread = threading.Thread(target=torch.set_num_threads, args=(count,))
    thread.start()
    thread.join()
