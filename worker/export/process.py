"""Exporting in a process of its own.

torch's exporter changes how modules are called in its whole process, so networks of other threads
would have to stand still meanwhile, and it keeps memory. The process is started afresh and ends
when the file is written.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from cache.errors import FeaturepackError, Unavailable
from cache.logs import log_to_stderr
from cache.sight import EVERYTHING
from worker.child import end_with_parent
from worker.context import Context, open_context
from worker.faults import as_failure
from worker.heads.kept import load_head, recipe_of
from worker.settings import WorkerSettings

CHECK_SECONDS = 0.2
"""So often the worker is asked whether to go on."""


def export_in_process(
    settings: WorkerSettings, head_id: str, path: Path, check: Callable[[], None]
) -> float:
    """Write a head with its network to ``path``; the largest difference from ours that was found.

    ``check`` is called again and again, and may raise to end it.

    Raises:
        FeaturepackError: what the process met, or Unavailable where it died.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(
        target=_export, args=(replace(settings, device="cpu", traces=False), head_id, path, theirs)
    )
    process.start()
    theirs.close()  # so that its end is heard when the process ends
    try:
        while not ours.poll(CHECK_SECONDS):
            check()
        answer = ours.recv()
    except EOFError as error:
        raise Unavailable(
            "the process that exports died",
            value=process.pid,
            remedy="look whether the machine ran out of memory; the job is tried again by itself",
        ) from error
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, FeaturepackError):
        raise answer
    return float(answer)


# --- in the process --------------------------------------------------------------------------


def _export(settings: WorkerSettings, head_id: str, path: Path, answer: Connection) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker's process decides what they mean
    end_with_parent()
    log_to_stderr(settings.log_format)
    logging.getLogger().setLevel(logging.WARNING)  # the exporter tells of each of its steps
    warnings.simplefilter("ignore")  # and torch of its own internals
    torch.set_num_threads(settings.threads)
    try:
        context = open_context(settings)
        try:
            answer.send(_write(context, head_id, path))
        finally:
            context.close()
    except Exception as error:
        answer.send(as_failure(error))


def _write(context: Context, head_id: str, path: Path) -> float:
    from worker.export import onnx_file  # takes a second, which the worker need not spend
    from worker.export.classifier import Classifier

    row = context.catalogue.find_head(head_id, EVERYTHING)
    head, recipe = load_head(context, head_id), recipe_of(context, row)
    network = context.build_network(recipe, [recipe.tap.layer])
    classifier = Classifier(network, recipe, head).eval()
    onnx_file.write(path, classifier, recipe, onnx_file.described(row, head, recipe))
    return onnx_file.check(path, network, recipe, head)
